from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.conversations.window import Window
from core.plans.drafts import MeteredDraft, PlanDraft
from core.plans.features import Feature, FeatureCatalog
from core.plans.periods import Reset
from core.plans.plan import Boolean, Enforcement, Entitlement, Metered, Static
from core.products import BUILT_IN, OPTIONS
from infrastructure.plan_files.reader import PlanFile, PlanFileError, read_plan_file

SHIPPED = Path(__file__).parents[4] / "plans.yaml"


@pytest.fixture(autouse=True)
def in_an_empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def read(text: str | bytes, *declared: Feature) -> PlanFile:
    path = Path("plans.yaml")
    path.write_bytes(dedent(text).encode() if isinstance(text, str) else text)
    return read_plan_file(path, (*BUILT_IN, *declared), OPTIONS)


def mistakes_in(text: str | bytes, *declared: Feature) -> list[str]:
    with pytest.raises(PlanFileError) as refusal:
        read(text, *declared)
    return str(refusal.value).splitlines()


def mistakes_in_entitlement(entitlement: str) -> list[str]:
    return mistakes_in(f"plans:\n  free:\n    entitlements:\n      {entitlement}\n")


def test_a_plan_file_is_read_in_its_order() -> None:
    plan_file = read("""
        features:
          api_calls: {unit: call}
          storage: {unit: GB, resolution: 1000}
        plans:
          free:
            entitlements:
              storage: {type: metered, limit: 0.5, reset: never, enforcement: soft}
              api_calls: {type: metered, limit: null}
              exports: {type: boolean, enabled: false}
          big:
            name: Big & bold
            entitlements:
              max_file_size_mb: {type: static, value: 2.50}
              exports: {type: boolean, enabled: true}
    """)

    assert plan_file == PlanFile(
        features=(Feature("api_calls", "call"), Feature("storage", "GB", 1000)),
        plans=(
            PlanDraft(
                "free",
                "free",
                {
                    "storage": MeteredDraft(Decimal("0.5"), Reset.NEVER, Enforcement.SOFT),
                    "api_calls": MeteredDraft(None),
                    "exports": Boolean(enabled=False),
                },
            ),
            PlanDraft("big", "Big & bold", {"max_file_size_mb": Static(Decimal("2.50")), "exports": Boolean(enabled=True)}),
        ),
    )


def test_a_limit_resets_with_the_billing_period_and_is_hard_unless_the_file_says_otherwise() -> None:
    (plan,) = read("plans: {free: {entitlements: {sessions: {type: metered, limit: 10}}}}").plans

    assert plan.entitlements["sessions"] == MeteredDraft(Decimal(10), Reset.BILLING_PERIOD, Enforcement.HARD)


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ("null", None),
        ("{}", Window()),
        ("{length_seconds: 3600, extending: false, messages_max: 50}", Window(timedelta(hours=1), extending=False, messages_max=50)),
    ],
)
def test_conversations_may_have_a_window_of_their_own(window: str, expected: Window | None) -> None:
    (plan,) = read(f"plans: {{free: {{entitlements: {{conversations: {{type: metered, limit: 9, window: {window}}}}}}}}}").plans

    assert plan.entitlements["conversations"] == MeteredDraft(Decimal(9), options=() if expected is None else (expected,))


def test_numbers_keep_the_digits_that_the_file_has() -> None:
    (plan,) = read("plans: {free: {entitlements: {size: {type: static, value: 0.10}}}}").plans

    assert str(plan.entitlements["size"]) == "Static(value=Decimal('0.10'))"


@pytest.mark.parametrize("limit", ["1000", "+1000", "1000.0", "1e3", "1E+3", "01000"])
def test_a_number_may_be_written_in_any_way_that_yaml_1_2_knows(limit: str) -> None:
    (plan,) = read(f"plans: {{free: {{entitlements: {{sessions: {{type: metered, limit: {limit}}}}}}}}}").plans

    assert plan.entitlements["sessions"] == MeteredDraft(Decimal(1000))


@pytest.mark.parametrize("enabled", ["true", "True", "TRUE"])
def test_true_may_be_written_in_any_way_that_yaml_1_2_knows(enabled: str) -> None:
    (plan,) = read(f"plans: {{free: {{entitlements: {{exports: {{type: boolean, enabled: {enabled}}}}}}}}}").plans

    assert plan.entitlements["exports"] == Boolean(enabled=True)


@pytest.mark.parametrize("limit", ["null", "~"])
def test_a_limit_of_null_is_unlimited(limit: str) -> None:
    (plan,) = read(f"plans: {{free: {{entitlements: {{sessions: {{type: metered, limit: {limit}}}}}}}}}").plans

    assert plan.entitlements["sessions"] == MeteredDraft(None)


@given(parts=st.integers(min_value=0, max_value=999_999_999_999_999), places=st.integers(min_value=0, max_value=15))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_decimal_is_rounded_on_its_way_in(parts: int, places: int) -> None:
    value = Decimal(parts).scaleb(-places)

    (plan,) = read(f"plans: {{free: {{entitlements: {{size: {{type: static, value: {value:f}}}}}}}}}").plans

    assert plan.entitlements["size"] == Static(value)


def test_features_may_all_be_commented_out() -> None:
    assert read("features:\n  # storage: {unit: GB}\nplans: {none: {entitlements: {}}}").features == ()


def test_a_plan_may_name_a_feature_that_was_declared_elsewhere() -> None:
    text = "plans: {free: {entitlements: {tokens: {type: metered, limit: 0.5}}}}"

    assert read(text, Feature("tokens", "kilotoken", 1000)).plans[0].resolve(FeatureCatalog([Feature("tokens", "kilotoken", 1000)]))
    assert mistakes_in(text, Feature("tokens", "token"))[0].endswith("limit: expected a whole number, got 0.5")


def test_a_built_in_feature_may_be_declared_again_as_it_is() -> None:
    text = "features: {minutes: {unit: minute, resolution: 60}}\nplans: {none: {entitlements: {}}}"

    assert read(text).features == (Feature("minutes", "minute", 60),)


def test_a_byte_order_mark_and_windows_line_ends_are_no_mistake() -> None:
    assert read(b"\xef\xbb\xbfplans:\r\n  none:\r\n    entitlements: {}\r\n").plans == (PlanDraft("none", "none", {}),)


@pytest.mark.parametrize(
    ("entitlement", "expected"),
    [
        ("sessions: {type: metered, limit: ten}", "sessions.limit: expected a number of at least 0 or null, got 'ten'"),
        ("sessions: {type: metered, limit: '10'}", "sessions.limit: expected a number of at least 0 or null, got '10'"),
        ("sessions: {type: metered, limit: true}", "sessions.limit: expected a number of at least 0 or null, got true"),
        ("sessions: {type: metered, limit: [10]}", "sessions.limit: expected a number of at least 0 or null, got a list"),
        ("sessions: {type: metered, limit: {a: 1}}", "sessions.limit: expected a number of at least 0 or null, got a mapping"),
        ("sessions: {type: metered, limit: {}}", "sessions.limit: expected a number of at least 0 or null, got an empty mapping"),
        ("sessions: {type: metered, limit: .nan}", "sessions.limit: expected a number of at least 0 or null, got '.nan'"),
        ("sessions: {type: metered, limit: .inf}", "sessions.limit: expected a number of at least 0 or null, got '.inf'"),
        ("sessions: {type: metered, limit: 1e99999}", "sessions.limit: expected a number of at least 0 or null, got '1e99999'"),
        ("sessions: {type: metered, limit: -1}", "sessions.limit: expected a number of at least 0 or null, got -1"),
        ("sessions: {type: metered}", "sessions.limit: expected a number of at least 0 or null, got nothing"),
        ("sessions: {type: metered, limit: 0.5}", "sessions.limit: expected a whole number, got 0.5"),
        ("minutes: {type: metered, limit: 0.01}", "minutes.limit: expected a whole multiple of 1/60 minute, got 0.01"),
        (
            "ai_cost: {type: metered, limit: 0.1234567890123456}",
            "ai_cost.limit: expected a whole multiple of 1/1000000000 USD, got 0.1234567890123456",
        ),
        (
            "sessions: {type: metered, limit: 1, reset: monthly}",
            "sessions.reset: expected one of billing_period, year, quarter, month, week, day, hour, never, got 'monthly'",
        ),
        ("sessions: {type: metered, limit: 1, enforcement: firm}", "sessions.enforcement: expected one of hard, soft, got 'firm'"),
        (
            "sessions: {type: metered, limit: 1, resets: day}",
            "sessions.resets: unknown field, expected one of type, limit, reset, enforcement, rollover, alerts, window; "
            "did you mean 'reset'?",
        ),
        ("exports: {type: boolean, enabled: true, x: 1}", "exports.x: unknown field, expected one of type, enabled"),
        (
            "sessions: {type: metered, limit: 1, window: {}}",
            "sessions.window: expected no window here: only conversations are counted by windows",
        ),
        (
            "conversations: {type: metered, limit: 1, window: 24h}",
            "conversations.window: expected a window such as {length_seconds: 86400, extending: true, messages_max: null}, got '24h'",
        ),
        (
            "conversations: {type: metered, limit: 1, window: {length_seconds: 0.5}}",
            "conversations.window.length_seconds: expected a whole number from 1 to 2678400, got 0.5",
        ),
        (
            "conversations: {type: metered, limit: 1, window: {extending: 1}}",
            "conversations.window.extending: expected true or false, got 1",
        ),
        (
            "conversations: {type: metered, limit: 1, window: {messages_max: 0}}",
            "conversations.window.messages_max: expected a whole number from 1 to 1000000, or null, got 0",
        ),
        (
            "conversations: {type: metered, limit: 1, window: {hours: 24}}",
            "conversations.window.hours: unknown field, expected one of length_seconds, extending, messages_max, extends",
        ),
        ("sessions: {type: metred, limit: 1}", "sessions.type: expected one of metered, static, boolean, got 'metred'"),
        ("sessions: {type: [metered], limit: 1}", "sessions.type: expected one of metered, static, boolean, got a list"),
        ("exports: {type: bool, enabled: true}", "exports.type: expected one of metered, static, boolean, got 'bool'"),
        ("sessions: {limit: 1}", "sessions.type: expected one of metered, static, boolean, got nothing"),
        ("sessions: 10", "sessions: expected an entitlement such as {type: metered, limit: 10}, got 10"),
        ("sessions: null", "sessions: expected an entitlement such as {type: metered, limit: 10}, got null"),
        ("size: {type: static, value: true}", "size.value: expected a number, got true"),
        ("size: {type: static, value: null}", "size.value: expected a number, got null"),
        ("exports: {type: boolean, enabled: 1}", "exports.enabled: expected true or false, got 1"),
        ("exports: {type: boolean, enabled: yes}", "exports.enabled: expected true or false, got 'yes'"),
        ("sesions: {type: metered, limit: 1}", "sesions: expected a declared metered feature; did you mean 'sessions'?"),
        (
            "Exports: {type: boolean, enabled: true}",
            "Exports: expected a key of 1 to 64 of a-z, 0-9, '_', '.' and '-', starting with a letter",
        ),
        (
            "Sessions: {type: metered, limit: 1}",
            "Sessions: expected a key of 1 to 64 of a-z, 0-9, '_', '.' and '-', starting with a letter",
        ),
    ],
)
def test_a_mistaken_entitlement_is_named_with_its_line_and_what_belongs_there(entitlement: str, expected: str) -> None:
    assert mistakes_in_entitlement(entitlement) == [f"plans.yaml:4: plans.free.entitlements.{expected}"]


def test_a_limit_whose_number_was_forgotten_is_not_unlimited() -> None:
    assert mistakes_in_entitlement("sessions: {type: metered, limit: }") == [
        "plans.yaml:4: plans.free.entitlements.sessions.limit: expected a number of at least 0 or null, got nothing"
    ]


@pytest.mark.parametrize("limit", ["1:30", "0x10", "1_000", "0b11", "0o17"])
def test_what_only_old_yaml_takes_for_a_number_is_none(limit: str) -> None:
    assert mistakes_in_entitlement(f"sessions: {{type: metered, limit: {limit}}}") == [
        f"plans.yaml:4: plans.free.entitlements.sessions.limit: expected a number of at least 0 or null, got '{limit}'"
    ]


@pytest.mark.parametrize(
    ("feature", "expected"),
    [
        ("calls: {}", "calls.unit: expected 1 to 200 printable characters, got nothing"),
        ("calls: {unit: ''}", "calls.unit: expected 1 to 200 printable characters, got nothing"),
        ("calls: {unit: 5}", "calls.unit: expected 1 to 200 printable characters, got 5"),
        ('calls: {unit: "a\\nb"}', "calls.unit: expected 1 to 200 printable characters, got 'a\\nb'"),
        ("calls: {unit: call, resolution: 0}", "calls.resolution: expected a whole number from 1 to 1000000000, got 0"),
        ("calls: {unit: call, resolution: 2.5}", "calls.resolution: expected a whole number from 1 to 1000000000, got 2.5"),
        ("calls: {unit: call, resolution: 1e10}", "calls.resolution: expected a whole number from 1 to 1000000000, got 1E+10"),
        ("calls: {unit: call, resolution: true}", "calls.resolution: expected a whole number from 1 to 1000000000, got true"),
        ("calls: {unit: call, units: 2}", "calls.units: unknown field, expected one of unit, resolution, on_outage; did you mean 'unit'?"),
        ("calls: {unit: call, on_outage: maybe}", "calls.on_outage: expected one of refuse, admit, got 'maybe'"),
        ("calls: {on_outage: admit}", "calls.unit: expected 1 to 200 printable characters, got nothing"),
        ("calls: call", "calls: expected a feature such as {unit: call}, got 'call'"),
        ("calls:", "calls: expected a feature such as {unit: call}, got nothing"),
        ("4calls: {unit: call}", "4calls: expected a key of 1 to 64 of a-z, 0-9, '_', '.' and '-', starting with a letter"),
        (
            "minutes: {unit: minute}",
            "minutes: expected {unit: minute, resolution: 60}, as it is declared already, got {unit: minute, resolution: 1}",
        ),
        (
            "sessions: {unit: meeting}",
            "sessions: expected {unit: session, resolution: 1}, as it is declared already, got {unit: meeting, resolution: 1}",
        ),
    ],
)
def test_a_mistaken_feature_is_named_with_its_line_and_what_belongs_there(feature: str, expected: str) -> None:
    assert mistakes_in(f"features:\n  {feature}\nplans: {{none: {{entitlements: {{}}}}}}") == [f"plans.yaml:2: features.{expected}"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: expected a mapping with 'features' and 'plans', got nothing"),
        ("# nothing but a comment", "1: expected a mapping with 'features' and 'plans', got nothing"),
        ("- plans", "1: expected a mapping with 'features' and 'plans', got a list"),
        ("features: {}", "1: plans: expected a mapping of at least one plan by key, got nothing"),
        ("features:\nplans:", "2: plans: expected a mapping of at least one plan by key, got nothing"),
        ("\nplans: {}", "2: plans: expected a mapping of at least one plan by key, got an empty mapping"),
        ("features: []\nplans: {a: {entitlements: {}}}", "1: features: expected a mapping of features by key, got a list"),
        (
            "plans: {a: {entitlements: {}}}\nplan: 1",
            "2: plan: unknown field, expected one of features, meters, plans; did you mean 'plans'?",
        ),
        ("plans:\n  a:", "2: plans.a: expected a plan such as {entitlements: {sessions: {type: metered, limit: 10}}}, got nothing"),
        ("plans:\n  a: {name: A}", "2: plans.a.entitlements: expected a mapping of entitlements by feature, got nothing"),
        ("plans:\n  a:\n    entitlements:", "3: plans.a.entitlements: expected a mapping of entitlements by feature, got nothing"),
        ("plans:\n  a: {name: 5, entitlements: {}}", "2: plans.a.name: expected 1 to 200 printable characters, got 5"),
        ("plans:\n  a: {name: '', entitlements: {}}", "2: plans.a.name: expected 1 to 200 printable characters, got ''"),
        (
            "plans:\n  a: {entitlement: {}, entitlements: {}}",
            "2: plans.a.entitlement: unknown field, expected one of name, entitlements; did you mean 'entitlements'?",
        ),
        (
            "plans:\n  Free: {entitlements: {}}",
            "2: plans.Free: expected a key of 1 to 64 of a-z, 0-9, '_', '.' and '-', starting with a letter",
        ),
        (
            "plans:\n  10: {entitlements: {}}",
            "2: plans.10: expected a key of 1 to 64 of a-z, 0-9, '_', '.' and '-', starting with a letter",
        ),
    ],
)
def test_a_mistake_in_the_frame_of_the_file_is_named_with_its_line(text: str, expected: str) -> None:
    assert mistakes_in(text) == [f"plans.yaml:{expected}"]


def test_a_key_that_occurs_twice_is_a_mistake_at_its_second_line() -> None:
    assert mistakes_in("""\
        plans:
          free: {entitlements: {}}
          pro:
            entitlements:
              sessions: {type: metered, limit: 10}
              sessions:
                type: metered
                limit: 100
                limit: 1000
          free: {entitlements: {}}
    """) == [
        "plans.yaml:6: plans.pro.entitlements.sessions: expected only once, and is on line 5 already",
        "plans.yaml:10: plans.free: expected only once, and is on line 2 already",
    ]


def test_all_mistakes_of_a_file_are_told_at_once_in_the_order_of_its_lines() -> None:
    assert mistakes_in("""\
        features:
          calls: {unit: call, resolutoin: 2}
        plans:
          free:
            nmae: Free
            entitlements:
              calls: {type: metered, limit: 0.5, reset: yearly}
              sesions: {type: metered, limit: -1}
              minutes:
                type: metered
                reset: yearly
                limit: 0.01
          pro:
            entitlements:
              sessions: {type: metered, limit: ten}
              ai_cost: {type: static, value: much}
              Exports: {type: bool}
              sessions: {type: metered, limit: 10}
        plan: {}
    """) == [
        "plans.yaml:2: features.calls.resolutoin: unknown field, expected one of unit, resolution, on_outage; did you mean 'resolution'?",
        "plans.yaml:5: plans.free.nmae: unknown field, expected one of name, entitlements; did you mean 'name'?",
        "plans.yaml:7: plans.free.entitlements.calls.reset: expected one of billing_period, year, quarter, month, week, day, hour, never, "
        "got 'yearly'",
        "plans.yaml:8: plans.free.entitlements.sesions: expected a declared metered feature; did you mean 'sessions'?",
        "plans.yaml:8: plans.free.entitlements.sesions.limit: expected a number of at least 0 or null, got -1",
        "plans.yaml:11: plans.free.entitlements.minutes.reset: expected one of billing_period, year, quarter, month, week, day, hour, "
        "never, got 'yearly'",
        "plans.yaml:12: plans.free.entitlements.minutes.limit: expected a whole multiple of 1/60 minute, got 0.01",
        "plans.yaml:15: plans.pro.entitlements.sessions.limit: expected a number of at least 0 or null, got 'ten'",
        "plans.yaml:16: plans.pro.entitlements.ai_cost.value: expected a number, got 'much'",
        "plans.yaml:16: plans.pro.entitlements.ai_cost.type: expected 'metered', since 'ai_cost' is a declared metered feature",
        "plans.yaml:17: plans.pro.entitlements.Exports.type: expected one of metered, static, boolean, got 'bool'",
        "plans.yaml:17: plans.pro.entitlements.Exports: expected a key of 1 to 64 of a-z, 0-9, '_', '.' and '-', starting with a letter",
        "plans.yaml:18: plans.pro.entitlements.sessions: expected only once, and is on line 15 already",
        "plans.yaml:19: plan: unknown field, expected one of features, meters, plans; did you mean 'plans'?",
    ]


def test_a_mistake_stays_on_one_line_whatever_the_file_says() -> None:
    assert mistakes_in('plans:\n  "a\\nb": {entitlements: {sessions: {type: "x\\ny"}}}\n')[0] == (
        "plans.yaml:2: plans.'a\\nb'.entitlements.sessions.type: expected one of metered, static, boolean, got 'x\\ny'"
    )


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"plans:\n  free: {entitlements: {}\n", "3:1: expected YAML: while parsing a flow mapping, expected ',' or '}', but got"),
        (b"plans: free\n  pro: x", "2:6: expected YAML: mapping values are not allowed here"),
        (b"plans:\n\tfree: x", "2:1: expected YAML: while scanning for the next token, found character '\\t'"),
        (b"plans: {}\n---\nplans: {}", "2:1: expected YAML: expected a single document in the stream, but found another document"),
        (b"plans:\n  a: &base {}\n  b: *base", "2:6: expected no anchors, aliases or tags: write the value out"),
        (b"plans:\n  a: *base", "2:6: expected no anchors, aliases or tags: write the value out"),
        (b"plans:\n  a: !!python/none x", "2:6: expected no anchors, aliases or tags: write the value out"),
        (b"plans:\n  a: {{ plan }}", "2:7: expected a plain word as key"),
        (b"plans:\n  fr\xc3\xa9\xe9: {}", "2:6: expected UTF-8 text, got the byte 0xe9"),
        (b"plans:\n  pro: {}\n  fr\x01: {}", "3:5: expected printable text, got the character U+0001"),
    ],
)
def test_a_text_that_is_not_plain_yaml_is_refused_with_line_and_column(content: bytes, expected: str) -> None:
    (mistake,) = mistakes_in(content)

    assert mistake.startswith(f"plans.yaml:{expected}")


def test_a_file_that_cannot_be_read_is_refused_by_name() -> None:
    Path("directory").mkdir()

    for path, reason in (("missing.yaml", "No such file or directory"), ("directory", "Is a directory")):
        with pytest.raises(PlanFileError) as refusal:
            read_plan_file(Path(path), BUILT_IN, OPTIONS)
        assert str(refusal.value) == f"{path}: expected a readable file: {reason}"


def test_the_shipped_plans_hold_those_of_the_reference_products_and_an_example() -> None:
    plan_file = read_plan_file(SHIPPED, BUILT_IN, OPTIONS)
    catalog = FeatureCatalog([*BUILT_IN, *plan_file.features])
    plans: dict[str, dict[str, Entitlement]] = {plan.key: plan.resolve(catalog) for plan in plan_file.plans}

    assert plans["example"]["api_calls"] == Metered(1000, Reset.DAY)
    reference = {
        "free": {"sessions": Metered(10), "minutes": Metered(100 * 60), "max_file_size_mb": Static(Decimal(25))},
        "pro": {"sessions": Metered(100), "minutes": Metered(500 * 60), "max_file_size_mb": Static(Decimal(60))},
        "try_learn": {"practice_sessions": Metered(3), "assessments": Metered(1)},
        "fluency_builder": {"practice_sessions": Metered(30), "assessments": Metered(2)},
        "basic": {"ai_runs": Metered(5, Reset.MONTH), "ai_cost": Metered(500_000_000, Reset.MONTH)},
        "premium": {"ai_runs": Metered(30, Reset.MONTH), "ai_cost": Metered(3_000_000_000, Reset.MONTH)},
        "starter": {"conversations": Metered(1000, Reset.MONTH)},
    }
    assert {key: plans.get(key) for key in reference} == reference
