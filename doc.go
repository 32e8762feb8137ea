// Package apig publishes APIs on Huawei Cloud API Gateway (APIG, dedicated
// gateway, API v2) and takes them offline. The caller always knows what
// happened.
//
//	package main
//
//	import (
//		"context"
//		"errors"
//		"fmt"
//		"log"
//
//		"github.com/apig-go/apig"
//	)
//
//	func main() {
//		cfg, err := apig.ConfigFromEnv()
//		if err != nil {
//			log.Fatal(err)
//		}
//		client, err := apig.New(cfg)
//		if err != nil {
//			log.Fatal(err)
//		}
//		rec, err := client.Publish(context.Background(), apig.ActionRequest{
//			APIID:  "5f918d104dc84480a75166ba99efff21",
//			EnvID:  apig.EnvRelease,
//			Remark: "1.4.2",
//		})
//		if errors.Is(err, apig.ErrOutcomeUnknown) { // ask this first
//			log.Fatal("it may be published or not, look before you try again: ", err)
//		}
//		if err != nil {
//			log.Fatal("not published: ", err)
//		}
//		fmt.Println("published as version", rec.VersionID)
//	}
//
// # Outcomes
//
// A call that changes something returns one of three things:
//
//   - a record: the change was applied, and this is what the gateway holds;
//   - an error for which errors.Is(err, ErrOutcomeUnknown): it may have been
//     applied, and the client could not find out; look before you repeat it;
//   - any other error: it was not applied, nothing has changed.
//
// A request can be applied although its answer is lost, and publishing twice
// makes two versions, of which the gateway keeps ten. So an attempt whose
// outcome is unknown is not simply repeated: the client looks for it in the
// gateway's own publish history, by its remark and its time on the gateway's
// clock. If it is there the call succeeds, with Recovered set in the record. If
// it is not, and can no longer arrive, it was not applied and may be repeated.
// Where neither can be told the error is ErrOutcomeUnknown.
//
// That has limits:
//
//   - A request that the gateway applies later than RetryPolicy.SettleWait after
//     its connection broke can make a second version, or undo a later call.
//   - Another process that publishes the same API with the same remark between
//     three seconds before the lost attempt and the end of settling is told
//     apart only with RetryPolicy.TagRemark. An empty remark is the same as any
//     other empty one. Set TagRemark where nobody watches.
//   - A gateway whose publish times lag more than ten seconds behind the Date of
//     its answers, as a load balancer may write it, can look as if it had not
//     applied what it has. TagRemark is immune to that.
//   - That somebody else has switched to an earlier version meanwhile cannot be
//     seen, since the version keeps its time: repeating a lost Offline or
//     SwitchVersion can undo it.
//   - A proxy that repeats requests on its own makes a second version that no
//     client can tell from the first.
//   - Reading the history needs the permission to do so: apig:apis:get, or
//     apig:api:listHistoryVersion where identity policies are in use. Without it
//     every lost answer ends in ErrOutcomeUnknown.
//
// Calls for one API take turns inside a client and those that Instance derives
// from it; calls for different APIs do not wait for each other.
//
// # Retries
//
// An attempt is repeated, up to RetryPolicy.MaxAttempts in all, if it was not
// applied and another one may succeed: nothing was sent; HTTP 429; the codes of
// throttling and of a gateway that is busy (APIG.9008, APIG.3711, APIG.3718,
// APIC.7701, APIC.7712, APIC.9222); or an unknown outcome that has turned out to
// be none. Calls that only read are repeated after any failure that may pass.
// A 401 that new credentials may cure is repeated once, with new ones. Other
// refusals, redirects and bad certificates are final.
//
// The wait is random and grows; Retry-After is obeyed, and ends the call if it
// is longer than RetryPolicy.MaxWait. When the context ends, or would before the
// next attempt, the call returns. Which failures are repeated may change in a
// later release.
//
// # Credentials
//
// X-Auth-Token: StaticToken for a token you have, TokenAuth with IAM or Agency
// for tokens that are got and renewed. AK/SK: StaticKeys for permanent keys,
// KeyAuth with ECSKeys or another KeySource for temporary ones. Any other
// Authenticator will do too.
//
// Credentials are never logged, printed or put into an error. They are sent to
// the endpoint alone, over https (plain http to a loopback address only), and
// redirects are not followed.
//
// # Testing
//
// Package apigtest has a gateway to test against, with faults to inject.
// Mocking the transport works too: give Config.HTTPClient one of your own.
package apig
