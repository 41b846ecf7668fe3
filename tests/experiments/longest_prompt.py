"""How long a prompt does a server accept? By bisection, one request after the other."""

from bench.experiments import Kind
from bench.plan import Burst, Planned, Scenario


class LongestPrompt(Scenario):
    too_long: int  # words that are surely refused


def steps(scenario):
    accepted, refused, number = 0, scenario.too_long, 0
    while refused - accepted > 1:
        words, number = (accepted + refused) // 2, number + 1
        [record] = yield Burst(name="ask", requests=(prompt(scenario.models[0], number, words),))
        accepted, refused = (words, refused) if record.outcome == "ok" else (accepted, words)


def prompt(model, number, words):
    return Planned(seq=number, k=number, name="prompt", model=model, api="completions", stream=False,
                   input=" ".join(["so"] * words), parameters={"max_tokens": 1}, extra_body={})  # fmt: skip


def findings(run):
    from bench.analysis.conclusion import Conclusion
    from bench.analysis.sections import Section, Sentence

    accepted = run.records[run.records["outcome"].isin(["ok", "empty"])]
    longest = int(accepted["prompt_tokens"].max())
    told = Sentence(f"The longest prompt that was accepted has {longest} tokens.")
    return Conclusion((Section("longest-prompt", "The longest prompt", (told,)),), "measured", {"tokens": longest})


KIND = Kind(LongestPrompt, steps, findings)
