"""Checks as JUnit XML, which every CI system reads: a test case for each. What is inconclusive is an error, so that no
system takes it for passed."""

from __future__ import annotations

from collections.abc import Sequence
from xml.etree import ElementTree

from bench.analysis.checks import Check
from bench.report.words import visible

NAME = "junit.xml"


def junit(name: str, checks: Sequence[Check]) -> str:
    """The file's text; `name` is that of the suite."""
    counts = {
        "tests": len(checks),
        "failures": sum(one.verdict == "fail" for one in checks),
        "errors": sum(one.verdict == "inconclusive" for one in checks),
        "skipped": 0,
    }
    numbers = {key: str(value) for key, value in counts.items()}
    suites = ElementTree.Element("testsuites", numbers)
    suite = ElementTree.SubElement(suites, "testsuite", {"name": visible(name)} | numbers)
    for one in checks:
        case = ElementTree.SubElement(
            suite, "testcase", {"classname": visible(f"bench.{one.group}"), "name": visible(one.name), "time": "0"}
        )
        told = visible(one.told)
        if one.verdict == "pass":
            ElementTree.SubElement(case, "system-out").text = told
        else:
            kind = {"fail": "failure", "inconclusive": "error"}[one.verdict]
            ElementTree.SubElement(case, kind, {"type": one.verdict, "message": told}).text = told
    ElementTree.indent(suites)
    return ElementTree.tostring(suites, "unicode", xml_declaration=False).join(
        ('<?xml version="1.0" encoding="UTF-8"?>\n', "\n")
    )
