"""A learner on the plan `fluency_builder`: 30 practice sessions and 2 assessments a month."""

from collections.abc import Iterator

from api.demo.stage import Row, Stage, refusal


def play(stage: Stage) -> Iterator[Row]:
    """Practice, progress and subscription move together, whichever screen saves."""
    learner = stage.customer("learner-lena", "fluency_builder")
    plan = learner.post("/learning-plans", {"language": "es", "level": "A2", "total_sessions": 8, "sessions_per_week": 2})
    yield Row("takes up a learning plan of 8 sessions, 2 a week", f"201, {len(plan['weekly_schedule'])} weeks")

    learner.post("/practice-sessions/start", {"id": "monday", "learning_plan_id": plan["id"]})
    save = {"id": "monday", "learning_plan_id": plan["id"], "duration_seconds": 600, "summary": "At the market"}
    saved = learner.post("/practice-sessions/save", save)
    progress, left = saved["learning_plan"], saved["subscription"]
    done = f"{progress['completed_sessions']}/{progress['total_sessions']}, {progress['progress_percentage']} %"
    yield Row("practises, and the conversation screen saves", f"201, {done}; {left['display']} sessions left")

    again = learner.post("/practice-sessions/save", save, expect=200)
    yield Row("the summary screen saves the same session", f"200, still {again['subscription']['display']}")

    assessed = learner.post("/assessments", {"kind": "speaking", "score": 78})["subscription"]
    yield Row("takes an assessment", f"201, {assessed['assessments_remaining']} of {assessed['assessments_limit']} left")

    learner.post("/assessments", {"kind": "writing", "score": 71})
    yield Row("takes a second one, and wants a third", refusal(learner.post("/assessments", {"kind": "reading"}, expect=403)))

    limits = learner.get("/subscription-status")["limits"]
    yield Row("looks at the subscription", f"200, {limits['sessions_remaining']}/{limits['sessions_limit']} sessions left")
