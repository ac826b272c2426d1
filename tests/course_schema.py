"""The twelve attributes of the course, and what Task 1 tells with the cameras of params.yaml, for tests."""

from bruna.dataset.course import ATTRIBUTES
from bruna.dataset.schema import logit_count, task1_tasks

CAMERA_CLASSES = (4, 6)
NAMES = tuple(attribute.name for attribute in ATTRIBUTES)
TASKS = task1_tasks(ATTRIBUTES, CAMERA_CLASSES)
TASK_NAMES = tuple(task.name for task in TASKS)
LOGITS = logit_count(ATTRIBUTES)
TASK1_LOGITS = logit_count(TASKS)
