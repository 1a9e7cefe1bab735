"""A user on the plan `premium`: 30 AI runs and $3.00 a calendar month."""

from collections.abc import Iterator

from api.demo.stage import Customer, Row, Stage, refusal


def play(stage: Stage) -> Iterator[Row]:
    """A business card is scanned in two steps, and each of them moves the month's budget."""
    user = stage.customer("user-uma", "premium")
    scan = user.report("/operations", {"feature": "business_card_scan", "estimated_cost": 0.002, "estimated_runs": 1})
    yield Row("starts to scan a business card, estimated at $0.002", f"201, {scan['status']}; {_budget(user)}")

    steps = f"/operations/{scan['id']}/steps"
    user.report(steps, {"feature": "business_card_scan_ocr", "cost": 0.0015, "billable_run": False})
    yield Row("step 1 reads the text for $0.0015", f"201; {_budget(user)}")

    user.report(steps, {"feature": "business_card_scan_ai", "cost": 0.000108, "billable_run": True})
    done = user.report(f"/operations/{scan['id']}/complete", expect=200)
    yield Row("step 2 understands it for $0.000108: one run", f"200, ${done['total_cost']}, {done['total_runs']} run; {_budget(user)}")

    user.report("/operations/standalone", {"feature": "video_summary", "cost": 2.99, "billable_run": True})
    yield Row("summarises a long video for $2.99", f"201; {_budget(user)}")

    asked = user.get("/budget/can-afford", cost=0.02, runs=1)
    yield Row("could $0.02 more be afforded?", f"200, allowed: {asked['allowed']}, reason: {asked['reason']}")
    refused = user.report("/operations", {"feature": "image", "estimated_cost": 0.02, "estimated_runs": 1}, expect=402)
    yield Row("tries all the same", refusal(refused))


def _budget(user: Customer) -> str:
    budget = user.get("/budget")
    return f"{budget['runs']['display']} runs, {budget['cost']['display']}"
