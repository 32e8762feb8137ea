// Package apig publishes APIs on Huawei Cloud API Gateway (APIG, dedicated gateways,
// API v2) and takes them offline. When an answer is lost, it looks for the change in
// the gateway's history, instead of guessing or publishing twice.
//
// A whole program:
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
//		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
//		rec, err := client.Publish(ctx, apig.PublishRequest{
//			APIID: "cf83b14f56c5082697202e68d0cfef14", EnvID: apig.EnvRelease, Remark: "1.4.2",
//		})
//		cancel()
//		var lost *apig.UnknownError
//		if errors.As(err, &lost) { // look again, with a deadline of its own
//			ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
//			rec, err = client.Settle(ctx, lost)
//			cancel()
//		}
//		if err != nil { // "not applied", or "unknown" if even Settle could not find out
//			log.Fatalf("%v: %v", apig.OutcomeOf(err), err)
//		}
//		log.Println("published as version", rec.VersionID)
//	}
//
// # Outcomes
//
// A publication makes a version of the API in an environment. Every method that
// changes something returns
//
//   - a record if the change was applied
//   - an error that matches [ErrOutcomeUnknown] if it may have been, or may yet be,
//     applied; see [Client.Settle]
//   - any other error if it was not applied
//
// [OutcomeOf] tells them apart. The APIs in a [*BatchError] were not changed, or their
// outcome is unknown. The change of all other APIs of the batch was applied. Only
// [Client.OfflineVersion] trusts its caller: it does not check whose version it is.
//
// The client appends a tag to the remark of each publication; see [PublishRequest]. By
// the tag it finds its own version. After a lost answer it waits until the request can
// no longer arrive ([RetryPolicy].SettleWait). Then it looks for the tag in the history,
// or for other changes at the version in effect. A request that may have been applied is
// not sent again before that.
//
// # Limits
//
//   - A change that is applied, or shows in the history, later than SettleWait after its
//     failure (twice that after a timeout or the end of the context) can make a second
//     version or undo a later change.
//   - Looking requires the permission apig:apis:get. Without it a lost change stays
//     unknown.
//   - Without tags (Config.DisableTags) a lost publication is often unknown.
//   - The package was tested against a fake that follows the published documentation, and
//     with real nginx, HAProxy and Keystone, but not against the service itself.
//
// The README has all limits.
//
// # More
//
//   - Credentials: [StaticToken], [StaticKeys], [TokenAuth] with [IAM], and [KeyAuth] with
//     [ECSKeys].
//   - Time: a call returns when its context ends. Without a deadline a change of one API
//     takes about twenty minutes at most by default. Waits for a [Limiter] come on top.
//     [RetryPolicy] has the formula.
//   - Errors: an [*APIGError] is a refusal by the service. It matches a sentinel such as
//     [ErrNotFound]. A [*CallError] is any other failure of a call. It wraps the reason.
//   - Tests: package [github.com/apig-go/apig/apigtest] is a gateway that loses answers on
//     request.
package apig
