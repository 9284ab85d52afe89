"""Amazon's own client for tests: makes queues, fills and empties them.

  queues.py ENDPOINT create NAME [ATTRIBUTE=VALUE ..]   prints the URL
  queues.py ENDPOINT send URL                           one JSON object a line from standard input: body, group?, id?, attributes?
  queues.py ENDPOINT drain URL                          receives and deletes until the queue is empty; one JSON object a line
  queues.py ENDPOINT count URL                          prints how many messages are there: visible, invisible
  queues.py ENDPOINT try URL                            sends message after message until the server is gone; receives some and deletes half of
                                                        them; one JSON object: what of it the server has confirmed
"""
import json
import sys
import time

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

endpoint, action, what = sys.argv[1:4]
attempts = 1 if action == "try" else 10
sqs = boto3.client("sqs", endpoint_url=endpoint, region_name="eu-west-1", aws_access_key_id="test", aws_secret_access_key="test",
                   config=Config(retries={"total_max_attempts": attempts}))


def create():
    attributes = dict(pair.split("=", 1) for pair in sys.argv[4:])
    print(sqs.create_queue(QueueName=what, Attributes=attributes)["QueueUrl"])


def send():
    entries = []
    for number, line in enumerate(sys.stdin):
        message = json.loads(line)
        entry = {"Id": str(number), "MessageBody": message["body"]}
        if "group" in message:
            entry.update(MessageGroupId=message["group"], MessageDeduplicationId=message["id"])
        if "attributes" in message:
            entry["MessageAttributes"] = {
                name: {"DataType": "String", "StringValue": value} for name, value in message["attributes"].items()
            }
        entries.append(entry)
    for start in range(0, len(entries), 10):
        answer = sqs.send_message_batch(QueueUrl=what, Entries=entries[start:start + 10])
        assert not answer.get("Failed"), answer["Failed"]


def drain():
    deadline = time.time() + 60
    while time.time() < deadline:
        answer = sqs.receive_message(QueueUrl=what, MaxNumberOfMessages=10, AttributeNames=["All"], MessageAttributeNames=["All"])
        messages = answer.get("Messages", [])
        if not messages:
            if sum(counts()) == 0:
                return
            time.sleep(0.1)
            continue
        for message in messages:
            attributes = message.get("MessageAttributes", {})
            print(json.dumps({
                "body": message["Body"],
                "message_id": message["MessageId"],
                "group": message["Attributes"].get("MessageGroupId"),
                "deduplication_id": message["Attributes"].get("MessageDeduplicationId"),
                "attributes": {name: value.get("StringValue") for name, value in attributes.items()},
            }))
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        sqs.delete_message_batch(QueueUrl=what, Entries=entries)
    sys.exit("the queue is not empty after a minute")


def counts():
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    attributes = sqs.get_queue_attributes(QueueUrl=what, AttributeNames=names)["Attributes"]
    return [int(attributes.get(name, 0)) for name in names]


def count():
    print(*counts())


def try_it():
    fifo = what.endswith(".fifo")
    sent, deleted = [], []
    try:
        for number in range(1_000_000):
            group = {"MessageGroupId": f"g{number % 5}", "MessageDeduplicationId": f"{time.time_ns()}"} if fifo else {}
            sqs.send_message(QueueUrl=what, MessageBody=str(number), **group)
            sent.append(number)
            if number % 10 == 9:
                messages = sqs.receive_message(QueueUrl=what, MaxNumberOfMessages=2, VisibilityTimeout=1).get("Messages", [])
                for message in messages[:1]:
                    sqs.delete_message(QueueUrl=what, ReceiptHandle=message["ReceiptHandle"])
                    deleted.append(int(message["Body"]))
    except BotoCoreError:
        print(json.dumps({"sent": sent, "deleted": deleted}))


{"create": create, "send": send, "drain": drain, "count": count, "try": try_it}[action]()
