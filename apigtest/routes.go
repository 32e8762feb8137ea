package apigtest

import "strings"

// Op is the kind of a request.
type Op string

// The operations of the gateway. Paths are below
// /v2/{project_id}/apigw/instances/{instance_id}.
const (
	OpAction            Op = "action"             // POST apis/action: publish one API or take it offline
	OpBatch             Op = "batch"              // POST apis/publish: the same for many
	OpHistory           Op = "history"            // GET apis/publish/{api_id}
	OpSwitch            Op = "switch"             // PUT apis/publish/{api_id}
	OpVersion           Op = "version"            // GET apis/versions/{version_id}
	OpOfflineVersion    Op = "offline-version"    // DELETE apis/versions/{version_id}
	OpRuntime           Op = "runtime"            // GET apis/runtime/{api_id}
	OpEnvironments      Op = "environments"       // GET envs
	OpCreateEnvironment Op = "create-environment" // POST envs
	OpAPIs              Op = "apis"               // GET apis
	OpToken             Op = "token"              // POST /v3/auth/tokens, of IAM
	OpUnknown           Op = "unknown"            // anything else
)

// A route is an endpoint. The handler runs with the gateway locked.
type route struct {
	method  string
	pattern []string // segments below the instance; "*" is an id
	op      Op
	handle  func(*Instance, *Request) (answer, error)
}

var routes = []route{
	{"POST", path("apis/action"), OpAction, (*Instance).serveAction},
	{"POST", path("apis/publish"), OpBatch, (*Instance).serveBatch},
	{"GET", path("apis/publish/*"), OpHistory, (*Instance).serveHistory},
	{"PUT", path("apis/publish/*"), OpSwitch, (*Instance).serveSwitch},
	{"GET", path("apis/versions/*"), OpVersion, (*Instance).serveVersion},
	{"DELETE", path("apis/versions/*"), OpOfflineVersion, (*Instance).serveOfflineVersion},
	{"GET", path("apis/runtime/*"), OpRuntime, (*Instance).serveRuntime},
	{"GET", path("envs"), OpEnvironments, (*Instance).serveEnvironments},
	{"POST", path("envs"), OpCreateEnvironment, (*Instance).serveCreateEnvironment},
	{"GET", path("apis"), OpAPIs, (*Instance).serveAPIs},
	{"POST", path("/v3/auth/tokens"), OpToken, nil}, // of no instance, see process
}

// path splits a pattern; a leading slash stays with the first segment and
// marks a path that is not below an instance.
func path(pattern string) []string {
	if rest, ok := strings.CutPrefix(pattern, "/"); ok {
		segments := strings.Split(rest, "/")
		segments[0] = "/" + segments[0]
		return segments
	}
	return strings.Split(pattern, "/")
}

// match compares a path with the pattern and returns the id in it, if any.
func (t *route) match(segments []string) (id string, ok bool) {
	if len(segments) != len(t.pattern) {
		return "", false
	}
	for n, want := range t.pattern {
		switch {
		case want == "*" && segments[n] != "":
			id = segments[n]
		case want != segments[n]:
			return "", false
		}
	}
	return id, true
}
