// Package apigtest provides a fake of Huawei Cloud API Gateway (APIG, the
// dedicated gateway, API v2) and of the token endpoint of IAM, to test HTTP
// clients against: over loopback, in memory, in the same process.
//
//	g := apigtest.NewGateway()
//	defer g.Close()
//	id := g.AddAPI("orders")
//
//	// ... point a client at g.URL(), with g.Transport(), g.ProjectID(),
//	// g.InstanceID() and g.Token(), and have it publish the API ...
//
//	v, ok := g.Published(id, "DEFAULT_ENVIRONMENT_RELEASE_ID")
//
// A [Gateway] is stateful. Each publish makes a version, of which it keeps ten
// an API and environment, as the service does; whatever else is asked of it
// later agrees with that. It is strict: an unknown field, a name in the wrong
// case, a parameter that the endpoint does not have or a signature that is
// off is refused, with the status and the code of the service.
//
// The state can be changed behind the back of the client ([Instance.Publish],
// [Instance.RemoveAPI]), and so can the clock ([Gateway.SetClock]).
// [Gateway.Journal] holds every change that was ever made, with the request
// that made it, and [Gateway.Requests] every request: what a client believes
// to have done can be checked against what has happened.
//
// # Faults
//
// A [Fault] is what goes wrong with a request on its way in or out. Some leave
// the client knowing what happened ([Throttle], [Busy]); the others are those
// that a client of this service has to survive without publishing twice:
//
//	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction)) // applied, but the answer is lost
//	g.Inject(apigtest.CloseThenApply(time.Second))            // lost, and applied after that
//	g.Inject(apigtest.ApplyThenAnswer(502, "<html>…"))        // applied, but the balancer knows better
//	g.Inject(apigtest.Cut(0))                                 // applied, but the answer is cut in half
//
// [Mix] and [Gateway.InjectFunc] strike at random, reproducibly, and
// [NamedFault] has most faults by name, for programs. Waits within faults go by
// package time, whatever the clock of the gateway says.
//
// # Virtual time
//
// With [WithoutNetwork] the gateway works inside a bubble of
// [testing/synctest], where waiting takes no time and all times are exact: a
// retry after a minute, a timeout of ten seconds, an answer that comes an hour
// late. Only [Gateway.Transport] reaches it then. It must be started and closed
// inside the bubble, which otherwise does not end:
//
//	synctest.Test(t, func(t *testing.T) {
//		g := apigtest.NewGateway(apigtest.WithoutNetwork())
//		defer g.Close()
//		transport := g.Transport()
//		defer transport.CloseIdleConnections()
//		client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
//
//		g.Inject(apigtest.Hang())
//		begun := time.Now()
//		_, err := client.Get(g.URL())
//		// err is a timeout, and time.Since(begun) is 10 s to the nanosecond
//	})
//
// The file example_retry_test.go of this package tests a loop of retries so.
//
// # Credentials
//
// [Gateway.Token] is a token that always works. Others are added with an
// expiry ([Gateway.AddToken]), issued by POST /v3/auth/tokens to those whom
// [Gateway.AddUser] and [Gateway.AddAgency] made known, or to those who have a
// token already, or judged by a function ([Gateway.ValidateTokens]). Requests
// signed with SDK-HMAC-SHA256 are verified once [Gateway.AddKeys] has added
// their access key.
//
// Of IAM there is what clients ask for on their way to the gateway: the version
// (GET /v3), tokens by password, agency or token, for a project, a domain or
// nothing in particular, their validation (GET /v3/auth/tokens), the catalog
// with the gateway in it, in the region of [WithRegion], and the lists of
// projects and of the one domain. A token that was added, and an access key,
// belong to the first user that was added.
//
// # What it does not imitate
//
// The fake follows the published documentation of the service, and what
// others report of it. It has not been compared with the service itself, and
// these things it leaves out:
//
//   - Calls of the published APIs (the data plane): nothing is served under
//     the domain of a group.
//   - Permissions of single actions, enterprise projects, quotas, arrears and
//     throttling: their answers come from faults only.
//   - Latency, caches and replicas. Everything takes effect at once, one
//     request after the other, so it never answers APIG.3500 by itself.
//   - The editing of APIs: they cannot be created, changed or deleted over
//     HTTP, all look alike but for their names, and a version freezes nothing
//     but that. APIs have no tags, parameters, backends or channels.
//   - The rest of the endpoints, such as debugging an API, changing
//     environments, groups, apps, plug-ins, and the marketplace.
//   - Of IAM all that is not named above, and of the tokens multi-factor
//     methods, roles, the region that a token is good for, and revocation by a
//     change of the password. Every user may have a token for every project,
//     and lists of IAM have no pages.
//   - Signatures with other algorithms than SDK-HMAC-SHA256, and temporary
//     keys that expire.
//
// Where the documentation is silent, the fake decides: an API that is not
// published cannot be taken offline (404 APIG.3015), nor has it a runtime
// definition; RELEASE cannot be deleted (403 APIG.1103); an unknown environment
// or group fails a batch as a whole; a filter by an unknown environment gives
// an empty list; names of environments match in part, like those of APIs; a
// version that has been switched to keeps its own time.
package apigtest
