"""The lifecycle of a publication through OpenStack's keystoneauth.

It reads its settings from the environment, OS_* and APIG_*. It finds the gateway
in the catalog of its token. It prints its changes as JSON, one a line, with the
records of the answers.
"""
import json
import os

from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

RELEASE = "DEFAULT_ENVIRONMENT_RELEASE_ID"
IDENTITY = os.environ["OS_AUTH_URL"]
PROJECT = os.environ["OS_PROJECT_ID"]
ORDERS, USERS = os.environ["APIG_ORDERS"], os.environ["APIG_USERS"]


def plugin():
    if "OS_TOKEN" in os.environ:
        return v3.Token(IDENTITY, os.environ["OS_TOKEN"], project_id=PROJECT)
    return v3.Password(
        IDENTITY,
        username=os.environ["OS_USERNAME"],
        password=os.environ["OS_PASSWORD"],
        user_domain_name=os.environ["OS_USER_DOMAIN_NAME"],
        project_id=PROJECT,
    )


s = session.Session(auth=plugin())
endpoint = adapter.Adapter(s, service_type="apig", region_name=os.environ["OS_REGION_NAME"]).get_endpoint()
assert endpoint.rstrip("/") + "/v3" == IDENTITY, endpoint
assert s.get_project_id() == PROJECT, s.get_project_id()
assert s.get_user_id() == os.environ["APIG_USER"], s.get_user_id()
gateway = adapter.Adapter(s, endpoint_override="{}/v2/{}/apigw/instances/{}".format(
    endpoint.rstrip("/"), PROJECT, os.environ["APIG_INSTANCE_ID"]))


def note(op, record):
    print(json.dumps({"op": op, "record": record}))
    return record.get("version_id")


def act(action):
    body = {"action": action, "env_id": RELEASE, "api_id": ORDERS}
    return note(action, gateway.post("/apis/action", json=body).json())


def batch(action):
    body = {"env_id": RELEASE, "apis": [ORDERS, USERS]}
    answer = gateway.post("/apis/publish", params={"action": action}, json=body).json()
    assert answer["failure"] == [], answer
    return [note(action, record) for record in answer["success"]]


path = "/apis/publish/" + ORDERS
first = act("online")
act("online")
note("switch", gateway.put(path, json={"version_id": first}).json())

versions = gateway.get(path).json()["api_versions"]
assert [v["version_id"] for v in versions if v["status"] == 1] == [first], versions
assert gateway.get("/apis/runtime/" + ORDERS).json()["id"] == ORDERS
assert gateway.get("/apis/versions/" + first).json()["version_id"] == first
assert gateway.get("/envs").json()["envs"][0]["id"] == RELEASE
assert gateway.get("/apis", params={"name": "orders"}).json()["total"] == 1

third, _ = batch("online")
gateway.delete("/apis/versions/" + third)
note("offline-version", {"api_id": ORDERS, "version_id": third})
act("online")
batch("offline")
act("online")
act("offline")

# IAM describes the token.
token = s.get(IDENTITY + "/auth/tokens", headers={"X-Subject-Token": s.get_token()}).json()["token"]
catalog = s.get(IDENTITY + "/auth/catalog").json()["catalog"]
projects = s.get(IDENTITY + "/auth/projects").json()["projects"]
assert token["project"]["id"] == PROJECT, token
assert "apig" in [service["type"] for service in catalog], catalog
assert PROJECT in [project["id"] for project in projects], projects
