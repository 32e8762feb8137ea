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
// A [Gateway] is stateful: each publish makes a version, of which it keeps ten an
// API and environment, as the service does. It is strict: an unknown field, a name
// in the wrong case or a signature that is off is refused, with the status and the
// code of the service. [Gateway.Journal] holds every change that was ever made and
// [Gateway.Requests] every request, to check against them what a client believes.
//
//   - Faults: [Throttle] and [Busy] leave the client knowing what happened;
//     [ApplyThenClose], [CloseThenApply], [ApplyThenAnswer] and [Cut] do not. [Mix]
//     strikes at random, reproducibly, and [NamedFault] knows most by name.
//   - Virtual time: [WithoutNetwork] is for bubbles of [testing/synctest], where a
//     minute's wait takes no time. Start and Close the gateway inside of the bubble.
//   - Credentials: [Gateway.Token] always works. [Gateway.AddToken], [Gateway.AddUser],
//     [Gateway.AddAgency] and [Gateway.AddKeys] add others; signatures are verified.
//   - Limits: it follows the published documentation and was not compared with the
//     service itself. The README of this package says what it leaves out.
package apigtest
