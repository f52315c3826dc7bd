"""Drives a study through a coordinator by a client that is generated from the schema.

Arguments: HOST:PORT of a coordinator that has finished the study `first`.
"""

import json
import sys

import grpc

from reprise.v1 import operation_pb2, operation_pb2_grpc
from reprise.v1 import record_pb2
from reprise.v1 import study_pb2, study_pb2_grpc
from reprise.v1 import task_pb2, task_pb2_grpc

channel = grpc.insecure_channel(sys.argv[1])
studies = study_pb2_grpc.StudyServiceStub(channel)
tasks = task_pb2_grpc.TaskServiceStub(channel)
operations = operation_pb2_grpc.OperationServiceStub(channel)

# A study of the same tasks under another name, from the one that is there.
known = studies.Spec(study_pb2.StudyRequest(study="first"))
spec = json.loads(known.spec_json)
spec["name"] = "second"
text = json.dumps(spec, separators=(",", ":")).encode()
submitted = studies.Submit(study_pb2.SubmitRequest(spec=text))
assert not submitted.resumed and submitted.study.tasks.planned == 3, submitted

stages = {}
for update in studies.Watch(study_pb2.StudyRequest(study="second")):
    stages.update({stage.index: stage for stage in update.stages})
assert [stage.stage.name for stage in stages.values()] == ["noop"], stages

status = studies.Status(study_pb2.StudyRequest(study="second"))
assert status.study.state == study_pb2.STUDY_STATE_DONE, status
listed = studies.List(study_pb2.ListRequest())
assert [study.name for study in listed.studies] == ["first", "second"], listed

page = tasks.List(task_pb2.TaskListRequest(study="second", seed=2))
assert [task.title for task in page.tasks] == ["noop 2"], page
detail = tasks.Get(task_pb2.TaskRequest(task=page.tasks[0].key.hex()))
assert set(detail.studies) == {"first", "second"}, detail
assert detail.result.WhichOneof("result") == "noop", detail

results = list(studies.Results(study_pb2.ResultsRequest(study="second")))
finished = [record for record in results if record.task.state == record_pb2.TASK_STATE_FINISHED]
workers = operations.Workers(operation_pb2.WorkersRequest())
assert len(workers.workers) == 1, workers

try:
    studies.Status(study_pb2.StudyRequest(study="third"))
    raise AssertionError("an unknown study has a status")
except grpc.RpcError as error:
    assert error.code() == grpc.StatusCode.NOT_FOUND, error

counts = status.study.tasks
print(f"second: done, {counts.finished} of {counts.planned} finished, {len(finished)} results")
