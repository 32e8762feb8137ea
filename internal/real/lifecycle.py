"""The lifecycle of a publication through keystoneauth.

It reads its settings from the environment, OS_* and APIG_*. It finds the gateway
in the catalog of its token. It prints its changes as JSON, as it understood the
answers.
"""
import json
import os

from keystoneauth1 import adapter, session
from keystoneauth1.identity import v3

RELEASE = "DEFAULT_ENVIRONMENT_RELEASE_ID"


def plugin():
    if "OS_TOKEN" in os.environ:
        return v3.Token(os.environ["OS_AUTH_URL"], os.environ["OS_TOKEN"], project_id=os.environ["OS_PROJECT_ID"])
    return v3.Password(
        os.environ["OS_AUTH_URL"],
        username=os.environ["OS_USERNAME"],
        password=os.environ["OS_PASSWORD"],
        user_domain_name=os.environ["OS_USER_DOMAIN_NAME"],
        project_id=os.environ["OS_PROJECT_ID"],
    )


class Lifecycle:
    def __init__(self, gateway, orders, users):
        self.gateway = gateway
        self.orders, self.users = orders, users
        self.changes = []

    def note(self, op, record):
        self.changes.append({"op": op, "api_id": record["api_id"], "version_id": record.get("version_id", "")})
        return record.get("version_id")

    def act(self, action):
        body = {"action": action, "env_id": RELEASE, "api_id": self.orders}
        return self.note(action, self.gateway.post("/apis/action", json=body).json())

    def batch(self, action):
        body = {"env_id": RELEASE, "apis": [self.orders, self.users]}
        answer = self.gateway.post("/apis/publish", params={"action": action}, json=body).json()
        assert answer["failure"] == [], answer
        return [self.note(action, record) for record in answer["success"]]

    def run(self):
        path = "/apis/publish/" + self.orders
        first = self.act("online")
        self.act("online")
        self.note("switch", self.gateway.put(path, json={"version_id": first}).json())

        versions = self.gateway.get(path).json()["api_versions"]
        assert [v["version_id"] for v in versions if v["status"] == 1] == [first], versions
        assert self.gateway.get("/apis/runtime/" + self.orders).json()["id"] == self.orders
        assert self.gateway.get("/apis/versions/" + first).json()["version_id"] == first
        assert self.gateway.get("/envs").json()["envs"][0]["id"] == RELEASE
        assert self.gateway.get("/apis", params={"name": "orders"}).json()["total"] == 1

        third, _ = self.batch("online")
        self.gateway.delete("/apis/versions/" + third)
        self.changes.append({"op": "offline-version", "api_id": self.orders, "version_id": third})
        self.act("online")
        self.batch("offline")
        self.act("online")
        self.act("offline")


def main():
    auth = plugin()
    s = session.Session(auth=auth)
    service = adapter.Adapter(s, service_type="apig", region_name=os.environ["OS_REGION_NAME"])
    endpoint = service.get_endpoint()
    gateway = adapter.Adapter(s, endpoint_override="{}/v2/{}/apigw/instances/{}".format(
        endpoint.rstrip("/"), s.get_project_id(), os.environ["APIG_INSTANCE_ID"]))
    lifecycle = Lifecycle(gateway, os.environ["APIG_ORDERS"], os.environ["APIG_USERS"])
    lifecycle.run()

    # IAM describes the token.
    identity = os.environ["OS_AUTH_URL"]
    token = s.get(identity + "/auth/tokens", headers={"X-Subject-Token": s.get_token()}).json()["token"]
    catalog = s.get(identity + "/auth/catalog").json()["catalog"]
    projects = s.get(identity + "/auth/projects").json()["projects"]
    assert token["project"]["id"] == s.get_project_id(), token
    assert "apig" in [service["type"] for service in catalog], catalog
    assert s.get_project_id() in [project["id"] for project in projects], projects

    print(json.dumps({
        "endpoint": endpoint,
        "project_id": s.get_project_id(),
        "user_id": s.get_user_id(),
        "changes": lifecycle.changes,
    }))


main()
