"""From a job to a plan: gather, refuse or leave out what can't be used, decide."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from reelyard.domain.errors import JobRejected, Problem
from reelyard.domain.job import Job, OnBadItem
from reelyard.domain.plan import Plan
from reelyard.domain.share import ShareTable
from reelyard.engine.planner import Workshop, item_frames, make_plan, remarks, without

from .gather import Prober, gather, nothing
from .naming import placed
from .resolve import Catalogue, resolve


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A job that can be rendered, how, and what an operator should know about it.

    ``job`` is without the items that had to be left out; ``skipped`` is how many of its frames the
    plan does not show, because it is a draft's; ``guessed`` what items have that nobody has looked at yet.
    """

    job: Job
    plan: Plan
    skipped: int
    warnings: tuple[Problem, ...]
    guessed: int = 0


@dataclass(frozen=True, slots=True)
class Planning:
    """Makes plans. ``workshop`` gives the encoder and the fonts that a job needs."""

    prober: Prober
    workshop: Callable[[Job], Workshop]
    catalogue: Callable[[], Catalogue]
    table: ShareTable = field(default_factory=ShareTable)

    def prepare(
        self, job: Job, bad: Sequence[Problem] = (), check: Callable[[], None] = nothing
    ) -> Prepared:
        """Plan what is wanted of a job, knowing that rendering found ``bad`` items.

        Raises JobRejected with all problems, unless the job says to leave such items out.
        """
        known = {one.position for one in bad}
        job, unknown = resolve(_wanted(job), self.catalogue, known)
        job, unplaced = placed(job, self.table)
        bad = [*bad, *unknown, *unplaced]
        workshop = self.workshop(job)
        asked = without(job, {one.position for one in bad if one.position is not None})
        gathered, found = gather(asked, self.prober, workshop.faces, check)
        problems = [*bad, *found]
        if problems and (job.on_bad_item is OnBadItem.FAIL or not gathered):
            raise JobRejected(problems)
        kept = without(asked, {one.position for one in found if one.position is not None})
        plan = make_plan(kept, gathered, workshop)
        return Prepared(
            job=kept,
            plan=plan,
            skipped=sum(item_frames(one.item, one.facts) for one in gathered) - plan.frames,
            warnings=(
                *(left_out(problem) for problem in problems),
                *(remark for one in gathered for remark in remarks(one)),
            ),
        )


def _wanted(job: Job) -> Job:
    """Raises JobRejected where nothing is: no film has no frames."""
    if (wanted := job.wanted).items:
        return wanted
    raise JobRejected([
        Problem(code="range_empty", message=f"there are no such items: {job.excerpt}", field="first_item",
                remedy="Correct first_item and last_item, or leave them out")
    ])  # fmt: skip


def left_out(problem: Problem) -> Problem:
    """The problem as a warning about an item that was left out because of it."""
    return replace(problem, message=f"left out: {problem.message}", warning=True)
