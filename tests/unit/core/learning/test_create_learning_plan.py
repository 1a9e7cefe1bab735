"""A learning plan is created at no cost."""

from core.learning.create_learning_plan import CreateLearningPlan, CreateLearningPlanCommand
from core.metering.account import CustomerNotFound
from core.metering.idempotency import Once, Replay
from core.metering.use_case import Call
from tests.unit.fakes.calls import calls
from tests.unit.fakes.examples import NOW
from tests.unit.fakes.learning import LENA, FakeLearningStore, Learner


async def test_a_created_plan_stands_at_nothing_and_is_stored(lena: Learner) -> None:
    plan = await lena.creates_plan(8, 2)
    assert (plan.customer_id, plan.language, plan.level, plan.created_at) == ("lena", "es", "B1", NOW)
    assert (plan.completed_sessions, plan.total_sessions, plan.sessions_per_week) == (0, 8, 2)
    assert lena.store.learning_plans == {("lena", plan.id): plan}


async def test_creating_a_plan_books_and_holds_nothing(lena: Learner) -> None:
    await lena.creates_plan()
    assert (lena.used(), lena.used("assessments"), lena.held()) == (0, 0, 0)


async def test_a_list_of_commands_makes_a_plan_for_each_key_and_each_customer(store: FakeLearningStore) -> None:
    def command(customer_id: str, key: str | None = None) -> Call[CreateLearningPlanCommand]:
        once = Once(key, b"same input", lambda plan: plan.id.encode()) if key else None
        return Call(
            CreateLearningPlanCommand(customer_id=customer_id, language="es", level="B1", total_sessions=8, sessions_per_week=2), once
        )

    use_case = CreateLearningPlan(store.unit_of_work, lambda: NOW)
    commands = [command("lena", "k"), command("lena", "k"), command("tom", "k"), command("lena"), command("nobody")]
    first, again, toms, another, nobodys = await use_case.execute(calls(*commands))
    assert again == Replay(first.id.encode())  # type: ignore[union-attr]
    assert isinstance(nobodys, CustomerNotFound)
    assert set(store.learning_plans) == {("lena", first.id), ("tom", toms.id), ("lena", another.id)}  # type: ignore[union-attr]
    assert LENA.id in {customer_id for customer_id, _ in store.learning_plans}
