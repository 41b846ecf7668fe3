"""A scenario with an arm that has another target and another key."""

from bench.experiments import LoadScenario

FIRST, OTHER = "the-first-key", "the-other-key"


def asked(url, key, **request):
    return {
        "name": "s",
        "target": {"url": url, "key": key},
        "models": ["m"],
        "requests": [{"prompt": "Hi", "stream": False} | request],
        "load": {"users": 1, "requests": 1},
    }


def scenario(**request):
    """`request` is what the arm's request has beside its prompt."""

    class TwoKeys(LoadScenario):
        @property
        def arms(self):
            return {"other": LoadScenario.model_validate(asked("http://two.test", OTHER, **request))}

    return TwoKeys.model_validate(asked("http://one.test", FIRST))
