"""Keystone that takes a project by its name alone, as Huawei's IAM does.

Keystone requires the domain of the project beside its name. Huawei uses the
user's domain, so this adds it.
"""
import io
import json

from keystone.server.wsgi import initialize_public_application

keystone = initialize_public_application()


def application(environ, start_response):
    if environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"] == "/v3/auth/tokens":
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        body = complete(body)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
    return keystone(environ, start_response)


def complete(body):
    try:
        auth = json.loads(body)["auth"]
        project = auth["scope"]["project"]
        if "name" in project:
            project.setdefault("domain", auth["identity"]["password"]["user"]["domain"])
        return json.dumps({"auth": auth}).encode()
    except (ValueError, KeyError, TypeError):
        return body  # Keystone reports the mistake
