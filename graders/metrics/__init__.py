"""What is measured from rollouts and prompts: numpy and scipy only, no database, no clock."""

from graders.metrics.difficulty import TaskRewards
from graders.metrics.diversity import DiversityReport, NearDuplicates, near_duplicates
from graders.metrics.intervals import Estimate, Method
from graders.metrics.report import DifficultyReport, Histogram, TaskRow, summarise

__all__ = [
    "DifficultyReport",
    "DiversityReport",
    "Estimate",
    "Histogram",
    "Method",
    "NearDuplicates",
    "TaskRewards",
    "TaskRow",
    "near_duplicates",
    "summarise",
]
