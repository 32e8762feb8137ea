// Package apigtest provides a fake of Huawei Cloud API Gateway (APIG, the
// dedicated gateway, API v2) and of the token endpoint of IAM, to test HTTP
// clients against: over loopback or in memory, in the same process.
//
//	g := apigtest.NewGateway()
//	defer g.Close()
//	id := g.AddAPI("orders")
//	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction)) // applied, but the answer is lost
//	// ... have a client publish it, at g.URL(), with g.ProjectID(), g.InstanceID() and g.Token() ...
//	v, ok := g.Published(id, "DEFAULT_ENVIRONMENT_RELEASE_ID")
//
// A [Gateway] is stateful: each publish makes a version. Like the service, it
// keeps ten versions an API and environment. It is strict: an unknown field, a
// name in the wrong case or a wrong signature is refused, with the status and the
// code of the service. [Gateway.Journal] holds every change and
// [Gateway.Requests] every request, to check a client's reports against them.
//
//   - Faults: after [Throttle] and [Conflict] the client knows the outcome. After
//     [Busy], [ApplyThenClose], [CloseThenApply], [ApplyThenAnswer] and [Cut] it does
//     not. [Gateway.InjectAtRandom] strikes at random, from a seed.
//   - Virtual time: [WithoutNetwork] is for bubbles of [testing/synctest], where a
//     minute's wait takes no time. Start and close the gateway inside the bubble.
//   - Credentials: [Gateway.Token] works until a test ends it. [Gateway.AddToken], [Gateway.AddUser],
//     [Gateway.AddAgency] and [Gateway.AddKeys] add others; signatures are verified.
//   - Limits: it follows the published documentation and was not compared with the
//     service itself. The README of this package says what it leaves out.
package apigtest
