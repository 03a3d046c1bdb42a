"""The pipeline of three steps as both versions of dotflow write it."""

PIPELINE = """
from dotflow import DotFlow, action
@action
def extract(): return [1, 2, 3]
@action
def transform(previous_context): return [v * 2 for v in previous_context.storage]
@action
def load(previous_context): return sum(previous_context.storage)
workflow = DotFlow()
workflow.task.add(extract); workflow.task.add(transform); workflow.task.add(load)
workflow.start()
print(workflow.result_storage()[-1])
"""
