"""Many screens at once, over two processes: never one session too many, and never one that is not counted."""

from collections import Counter
from functools import partial

from tests.integration.coaching import at_once
from tests.integration.learners import Learner, remaining, told
from tests.integration.service import Service, refused


def test_40_simultaneous_saves_of_20_sessions_over_two_processes_count_20(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0])
    plan = learner.plan(30, 5)
    for n in range(0, 20, 2):
        told(learner.start(f"session {n}", plan), 201)
    responses = at_once(*[partial(learner.at(service).save, f"session {n}", plan) for n in range(20) for service in services])
    assert Counter(response.status_code for response in responses) == {201: 20, 200: 20}
    for one, other in zip(responses[::2], responses[1::2], strict=True):
        assert one.json()["practice_session"] == other.json()["practice_session"]
    counts = [response.json()["learning_plan"]["completed_sessions"] for response in responses if response.status_code == 201]
    assert sorted(counts) == list(range(1, 21))
    assert told(learner.get_plan(plan), 200)["completed_sessions"] == 20
    assert told(learner.save("session 0", plan), 200)["subscription"] == remaining(20)
    assert learner.used("practice_sessions") == 20


def test_both_screens_save_one_session_through_two_processes_and_are_answered_alike(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0])
    plan = learner.plan()
    for round in range(10):
        responses = at_once(*[partial(learner.at(service).save, f"round {round}", plan) for service in services])
        assert sorted(response.status_code for response in responses) == [200, 201]
        assert len({response.text for response in responses}) == 1
    assert learner.used("practice_sessions") == 10


def test_30_starts_at_once_over_two_processes_hold_the_3_that_there_are(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0], "try_learn")
    responses = at_once(*[learner.at(service).start for _ in range(15) for service in services])
    assert Counter(response.status_code for response in responses) == {201: 3, 403: 27}
    for response in responses:
        if response.status_code == 403:
            assert refused(response, 403, "practice_session_limit_exceeded")["held"] == 3
    ids = [response.json()["id"] for response in responses if response.status_code == 201]
    saves = at_once(*[partial(learner.at(service).save, id) for id in ids for service in services])
    assert Counter((response.status_code, response.json()["over_limit"]) for response in saves) == {(201, False): 3, (200, False): 3}
    assert learner.used("practice_sessions") == 3


def test_one_session_started_through_two_processes_at_once_is_held_once(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0], "try_learn")
    responses = at_once(*[partial(learner.at(service).start, "monday") for _ in range(5) for service in services])
    assert Counter(response.status_code for response in responses) == {201: 1, 200: 9}
    assert len({response.text for response in responses}) == 1
    assert learner.limits()["sessions_remaining"] == 2


def test_starts_and_saves_of_the_same_sessions_at_once_count_each_once_and_hold_nothing_after(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0])
    ids = [f"session {n}" for n in range(12)]
    one, other = learner.at(services[0]), learner.at(services[1])
    responses = at_once(*[partial(call, id) for id in ids for call in (one.start, other.save, other.start, one.save)])
    assert {response.status_code for response in responses} <= {200, 201, 409}
    assert learner.limits()["sessions_remaining"] == 18
    assert learner.used("practice_sessions") == 12


def test_20_assessments_at_once_over_two_processes_take_the_2_that_there_are(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0])
    responses = at_once(*[partial(learner.at(service).assess, f"assessment {n}") for n in range(10) for service in services])
    by_status = Counter(response.status_code for response in responses)
    assert by_status == {201: 2, 200: 2, 403: 16}
    assert learner.used("assessments") == 2


def test_one_key_sent_to_two_processes_at_once_creates_one_plan(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0])
    body = {"language": "es", "level": "B1", "total_sessions": 8, "sessions_per_week": 2}
    responses = at_once(*[partial(learner.at(service).post, "learning-plans", body, "k") for _ in range(5) for service in services])
    assert {(response.status_code, response.content) for response in responses} == {(201, responses[0].content)}
    plans = "SELECT count(*) FROM learning_plan WHERE customer_id = $1"
    assert services[0].database.value(plans, learner.id) == 1


def test_a_plan_is_found_through_another_process_the_moment_it_was_created(services: tuple[Service, Service]) -> None:
    learner = Learner.new(services[0])
    other = learner.at(services[1])
    for _ in range(10):
        plan = learner.plan()
        assert told(other.save(plan=plan), 201)["learning_plan"] == told(learner.get_plan(plan), 200)
