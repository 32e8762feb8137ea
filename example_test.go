package apig_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// newGateway starts a gateway to run an example against, with one API, and makes a
// configuration for it. Against a real one the configuration comes from
// ConfigFromEnv or from the program's own settings.
func newGateway(opts ...apigtest.Option) (gateway *apigtest.Gateway, cfg apig.Config, apiID string) {
	gateway = apigtest.NewGateway(opts...)
	cfg = apig.Config{
		Endpoint:   gateway.URL(),
		ProjectID:  gateway.ProjectID(),
		InstanceID: gateway.InstanceID(),
		Auth:       apig.StaticToken(gateway.Token()),
		Retry:      apig.RetryPolicy{MinWait: time.Millisecond, SettleWait: 20 * time.Millisecond},
	}
	return gateway, cfg, gateway.AddAPI("orders")
}

// newClient is New, for the examples that are about something else.
func newClient(cfg apig.Config) *apig.Client {
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	return client
}

// publish publishes an API and says how that went.
func publish(client *apig.Client, apiID string) {
	rec, err := client.Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("published", rec.APIName)
}

// Publish an API, and know what happened. A gateway of package apigtest stands in for
// the real one here, whose settings ConfigFromEnv finds.
func Example() {
	gateway := apigtest.NewGateway()
	defer gateway.Close()
	apiID := gateway.AddAPI("orders")

	client, err := apig.New(apig.Config{ // or: cfg, err := apig.ConfigFromEnv()
		Endpoint:   gateway.URL(), // apig.Endpoint("cn-north-4")
		ProjectID:  gateway.ProjectID(),
		InstanceID: gateway.InstanceID(),
		Auth:       apig.StaticToken(gateway.Token()),
	})
	if err != nil {
		log.Fatal(err)
	}
	rec, err := client.Publish(context.Background(), apig.ActionRequest{
		APIID:  apiID,
		EnvID:  apig.EnvRelease,
		Remark: "1.4.2",
	})
	switch apig.OutcomeOf(err) {
	case apig.Applied:
		fmt.Println("published", rec.APIName, rec.Remark)
	case apig.NotApplied:
		fmt.Println("nothing has changed:", err)
	case apig.Unknown:
		fmt.Println("it may be published, look before you repeat it:", err) // client.Settle looks
	}
	// Output: published orders 1.4.2
}

// Every mistake is reported at once, before anything is sent.
func ExampleNew() {
	_, err := apig.New(apig.Config{
		Endpoint:  "http://apig.cn-north-4.myhuaweicloud.com",
		ProjectID: "77b6a44cba5143ab91d13ab9a8ff44fd",
	})
	fmt.Println(errors.Is(err, apig.ErrInvalidArgument))
	for mistake := range strings.SplitSeq(err.Error(), "; ") {
		fmt.Println(mistake)
	}

	_, err = apig.New(apig.Config{
		Endpoint:   apig.Endpoint("cn-north-4"),
		ProjectID:  "77b6a44cba5143ab91d13ab9a8ff44fd",
		InstanceID: "3a1c2b4d5e6f47089a0b1c2d3e4f5061",
		Auth:       apig.StaticToken("MIIQyQYJKoZIhvcNAQcC"),
	})
	fmt.Println(err)
	// Output:
	// true
	// apig: invalid argument: Endpoint "http://apig.cn-north-4.myhuaweicloud.com" must be https (http only to a loopback address)
	// InstanceID is empty
	// Auth is nil
	// <nil>
}

// The address of a region, and what becomes of a slip in its name.
func ExampleEndpoint() {
	fmt.Println(apig.Endpoint("cn-north-4"))
	_, err := apig.New(apig.Config{
		Endpoint:   apig.Endpoint("cn north 4"),
		ProjectID:  "77b6a44cba5143ab91d13ab9a8ff44fd",
		InstanceID: "3a1c2b4d5e6f47089a0b1c2d3e4f5061",
		Auth:       apig.StaticToken("MIIQyQYJKoZIhvcNAQcC"),
	})
	fmt.Println(errors.Is(err, apig.ErrInvalidArgument))
	// Output:
	// https://apig.cn-north-4.myhuaweicloud.com
	// true
}

func ExampleIAMEndpoint() {
	fmt.Println(apig.IAMEndpoint("cn-north-4"))
	// Output: https://iam.cn-north-4.myhuaweicloud.com
}

func ExampleConfigFromEnv() {
	for name, value := range map[string]string{ // as the environment of a program has them
		"HW_REGION_NAME":   "cn-north-4",
		"HW_PROJECT_ID":    "77b6a44cba5143ab91d13ab9a8ff44fd",
		"APIG_INSTANCE_ID": "3a1c2b4d5e6f47089a0b1c2d3e4f5061",
		"HW_AUTH_TOKEN":    "MIIQyQYJKoZIhvcNAQcC",
	} {
		os.Setenv(name, value)
		defer os.Unsetenv(name)
	}

	cfg, err := apig.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	cfg.AttemptTimeout = 10 * time.Second // whatever else is to be different
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(client)
	// Output: apig.Client(https://apig.cn-north-4.myhuaweicloud.com/v2/77b6a44cba5143ab91d13ab9a8ff44fd/apigw/instances/3a1c2b4d5e6f47089a0b1c2d3e4f5061)
}

// A token that the program has got elsewhere. It is never renewed.
func ExampleStaticToken() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddToken("MIIQyQYJKoZIhvcNAQcC", time.Time{})

	cfg.Auth = apig.StaticToken("MIIQyQYJKoZIhvcNAQcC")
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// Tokens of a user, got from IAM when they are needed, and renewed.
func ExampleTokenAuth() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddUser(apigtest.User{Name: "ci", Password: "correct horse", DomainName: "shop"})

	cfg.Auth = apig.TokenAuth(&apig.IAM{
		Endpoint:    gateway.URL(), // apig.IAMEndpoint("cn-north-4")
		Username:    "ci",
		Password:    "correct horse", // from a vault
		DomainName:  "shop",
		ProjectName: "cn-north-4",
	})
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// How the tokens are fetched is set as in Config, by itself.
func ExampleIAM() {
	gateway, _, _ := newGateway()
	defer gateway.Close()
	gateway.AddUser(apigtest.User{Name: "ci", Password: "correct horse", DomainName: "shop"})

	iam := &apig.IAM{
		Endpoint:       gateway.URL(),
		Username:       "ci",
		Password:       "a wrong one",
		DomainName:     "shop",
		ProjectName:    "cn-north-4",
		AttemptTimeout: 10 * time.Second,
	}
	_, err := iam.Token(context.Background())
	fmt.Println(errors.Is(err, apig.ErrUnauthorized))
	fmt.Println(iam) // does not show the password
	// Output:
	// true
	// apig.IAM(user ci)
}

// leases has tokens of an hour, as a vault gives them out.
type leases struct{ gateway *apigtest.Gateway }

func (l leases) Token(context.Context) (apig.Token, error) {
	fmt.Println("asked for a token")
	return apig.Token{Value: apig.Secret(l.gateway.Token()), Expiry: time.Now().Add(time.Hour)}, nil
}

// A source of one's own is asked when there is no token, and again before it ends.
func ExampleTokenSource() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	cfg.Auth = apig.TokenAuth(leases{gateway})
	client := newClient(cfg)
	publish(client, apiID)
	publish(client, apiID)
	// Output:
	// asked for a token
	// published orders
	// published orders
}

// Tokens of an agency, with which another account has delegated some of its rights.
func ExampleAgency() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddUser(apigtest.User{Name: "ci", Password: "correct horse", DomainName: "shop"})
	gateway.AddAgency(apigtest.Agency{Name: "deploy", DomainName: "factory"})

	cfg.Auth = apig.TokenAuth(&apig.Agency{
		Endpoint: gateway.URL(),
		Source: &apig.IAM{
			Endpoint: gateway.URL(), Username: "ci", Password: "correct horse", DomainName: "shop", ProjectName: "cn-north-4",
		},
		Name:        "deploy",
		DomainName:  "factory",
		ProjectName: "cn-north-4",
	})
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// Permanent keys (AK/SK). They sign each request and are never sent.
func ExampleStaticKeys() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddKeys("QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc", "")

	cfg.Auth = apig.StaticKeys("QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc")
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// vault has temporary keys.
type vault struct{}

func (vault) Keys(context.Context) (apig.Keys, error) {
	return apig.Keys{
		AccessKey:     "HPUADTEMPORARY",
		SecretKey:     "secret-of-an-hour",
		SecurityToken: "token-of-an-hour",
		Expiry:        time.Now().Add(time.Hour),
	}, nil
}

// Temporary keys of a source of one's own, asked again before they end. Those of
// the agency of an ECS server come from &apig.ECSKeys{}.
func ExampleKeyAuth() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddKeys("HPUADTEMPORARY", "secret-of-an-hour", "token-of-an-hour")

	cfg.Auth = apig.KeyAuth(vault{})
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// Temporary keys (AK/SK and a security token) that the program has got elsewhere.
// They are used until the service rejects them.
func ExampleKeys() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddKeys("HPUADTEMPORARY", "secret-of-an-hour", "token-of-an-hour")

	keys := apig.Keys{AccessKey: "HPUADTEMPORARY", SecretKey: "secret-of-an-hour", SecurityToken: "token-of-an-hour"}
	cfg.Auth = apig.KeyAuth(keys)
	fmt.Println(keys) // does not show the secret
	publish(newClient(cfg), apiID)
	// Output:
	// apig.Keys(HPUADTEMPORARY, without a known end)
	// published orders
}

// On a server (ECS) the keys of its agency come from the metadata service.
func ExampleECSKeys() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddKeys("HPUADTEMPORARY", "secret-of-an-hour", "token-of-an-hour")
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintf(w, `{"credential":{"access":"HPUADTEMPORARY","secret":"secret-of-an-hour","securitytoken":"token-of-an-hour","expires_at":%q}}`,
			time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
	}))
	defer metadata.Close()

	cfg.Auth = apig.KeyAuth(&apig.ECSKeys{Endpoint: metadata.URL}) // without an Endpoint: the one of the server
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// A Secret shows itself only to those who ask for it.
func ExampleSecret() {
	password := apig.Secret("correct horse")
	fmt.Println(password, string(password))
	// Output: REDACTED correct horse
}

// An Authenticator of one's own puts whatever it likes on a request.
func ExampleAuthenticator() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	cfg.Auth = tokenFile(gateway.Token())
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// tokenFile is a file with a token, as an agent of the server keeps it up to date.
type tokenFile string

func (f tokenFile) Authenticate(r *http.Request) error {
	r.Header.Set("X-Auth-Token", string(f)) // what the file holds
	return nil
}

func ExampleClient_Publish() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	rec, err := client.Publish(context.Background(), apig.ActionRequest{
		APIID:  apiID,
		EnvID:  apig.EnvRelease,
		Remark: "1.4.2",
	})
	switch {
	case errors.Is(err, apig.ErrOutcomeUnknown): // ask this first
		fmt.Println("it may be published or not:", err)
	case err != nil:
		fmt.Println("not published:", err)
	default:
		fmt.Println("published", rec.APIName, "with the remark", rec.Remark)
	}
	// Output: published orders with the remark 1.4.2
}

// The answer to a publication that was applied is lost. The record comes from the
// gateway's history, and nothing was published twice.
func ExampleClient_Publish_lostAnswer() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	gateway.Inject(apigtest.ApplyThenClose())
	rec, err := client.Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("recovered:", rec.Recovered)
	fmt.Println("versions: ", len(gateway.History(apiID, apig.EnvRelease)))
	// Output:
	// recovered: true
	// versions:  1
}

func ExampleClient_Offline() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	publish(client, apiID)

	for range 2 {
		_, err := client.Offline(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
		if errors.Is(err, apig.ErrNotPublished) {
			fmt.Println("was offline already")
		} else if err != nil {
			log.Fatal(err)
		} else {
			fmt.Println("offline")
		}
	}
	// Output:
	// published orders
	// offline
	// was offline already
}

// OfflineVersion takes one version offline, if it is the one in effect.
func ExampleClient_OfflineVersion() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	ctx := context.Background()
	rec, err := client.Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	if err != nil {
		log.Fatal(err)
	}

	if _, err := client.OfflineVersion(ctx, apiID, rec.VersionID); err != nil {
		log.Fatal(err)
	}
	_, err = client.Published(ctx, apiID, apig.EnvRelease)
	fmt.Println(errors.Is(err, apig.ErrNotPublished))
	// Output:
	// true
}

// unreadable makes the gateway lose an answer and refuse to show its history, as it
// does to a user who may publish but not read.
func unreadable(gateway *apigtest.Gateway) {
	gateway.Inject(
		apigtest.ApplyThenClose().On(apigtest.OpAction),
		apigtest.Answer(403, `{"error_code":"APIG.1005","error_msg":"No permissions"}`).On(apigtest.OpHistory).Always(),
	)
}

// There are three outcomes, and so three branches.
func ExampleOutcomeOf() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	for i, id := range []string{apiID, "00000000000000000000000000000000", apiID} {
		if i == 2 {
			unreadable(gateway)
		}
		_, err := client.Publish(context.Background(), apig.ActionRequest{APIID: id, EnvID: apig.EnvRelease})
		switch apig.OutcomeOf(err) {
		case apig.Applied:
			fmt.Println("published")
		case apig.NotApplied:
			fmt.Println("nothing has changed: mend the cause and repeat")
		case apig.Unknown:
			fmt.Println("look before you repeat")
		}
	}
	// Output:
	// published
	// nothing has changed: mend the cause and repeat
	// look before you repeat
}

// advice is what a release tool tells its user. Most programs need two or three of
// these cases; ErrOutcomeUnknown always comes first.
func advice(err error) string {
	switch {
	case err == nil:
		return "published"
	case errors.Is(err, apig.ErrOutcomeUnknown):
		return "look before you repeat it"
	case errors.Is(err, apig.ErrInvalidArgument), errors.Is(err, apig.ErrBadRequest):
		return "mend the request"
	case errors.Is(err, apig.ErrUnauthorized):
		return "renew the credentials"
	case errors.Is(err, apig.ErrForbidden):
		return "ask for the right to do this"
	case errors.Is(err, apig.ErrNotPublished): // before ErrNotFound, which it is too
		return "it was not published"
	case errors.Is(err, apig.ErrNotFound):
		return "look at the ID"
	case errors.Is(err, apig.ErrAmbiguous):
		return "use the ID instead of the name"
	case errors.Is(err, apig.ErrThrottled), errors.Is(err, apig.ErrConflict):
		return "repeat it later"
	case errors.Is(err, apig.ErrServer), errors.Is(err, apig.ErrBadResponse):
		return "repeat it, or tell support the request ID"
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return "give it more time"
	}
	return "repeat it once the network is back"
}

// The sentinels for errors.Is, and what to do about each.
func ExampleOutcomeOf_sentinels() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	cfg.Retry.MaxAttempts = 1 // to see each failure at once
	client := newClient(cfg)
	ctx := context.Background()
	request := apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease}

	_, err := client.Publish(ctx, apig.ActionRequest{})
	fmt.Println("no IDs:", advice(err))
	_, err = client.Offline(ctx, request)
	fmt.Println("not published:", advice(err))
	gateway.AddAPIIn(gateway.AddGroup("shop"), "orders")
	_, err = client.APIByName(ctx, "orders")
	fmt.Println("two of one name:", advice(err))
	for _, fault := range []struct {
		name string
		apigtest.Fault
	}{
		{"400", apigtest.BadRequest()},
		{"401", apigtest.Unauthorized()},
		{"403", apigtest.Forbidden()},
		{"404", apigtest.NotFound()},
		{"409", apigtest.Conflict()},
		{"429", apigtest.Throttle("")},
		{"500", apigtest.SystemError()},
		{"201 with a page", apigtest.Answer(201, "<html>")},
		{"connection lost", apigtest.CloseBefore()},
	} {
		gateway.Inject(fault.On(apigtest.OpAction))
		_, err := client.Publish(ctx, request)
		fmt.Println(fault.name+":", advice(err))
	}
	unreadable(gateway)
	_, err = client.Publish(ctx, request)
	fmt.Println("answer lost, history refused:", advice(err))
	// Output:
	// no IDs: mend the request
	// not published: it was not published
	// two of one name: use the ID instead of the name
	// 400: mend the request
	// 401: renew the credentials
	// 403: ask for the right to do this
	// 404: look at the ID
	// 409: repeat it later
	// 429: repeat it later
	// 500: repeat it, or tell support the request ID
	// 201 with a page: repeat it, or tell support the request ID
	// connection lost: repeat it once the network is back
	// answer lost, history refused: look before you repeat it
}

// The status, the code and the request ID are what support asks for. Match on
// codes, never on texts.
func ExampleAPIGError() {
	gateway, cfg, _ := newGateway(apigtest.WithSeed(1))
	defer gateway.Close()
	client := newClient(cfg)

	_, err := client.Publish(context.Background(), apig.ActionRequest{APIID: "5f918d104dc84480a75166ba99efff21", EnvID: apig.EnvRelease})
	var refused *apig.APIGError
	if errors.As(err, &refused) {
		fmt.Println(refused.StatusCode, refused.Code, refused.Code == apig.CodeAPINotFound)
		fmt.Println(refused.RequestID != "", refused.Attempts)
	}
	fmt.Println(errors.Is(err, apig.ErrNotFound))
	// Output:
	// 404 APIG.3002 true
	// true 1
	// true
}

// There was no answer: nothing could be sent, or it was settled that what was sent
// had not been applied.
func ExampleCallError() {
	gateway, cfg, apiID := newGateway()
	gateway.Close() // nobody listens there any more

	_, err := newClient(cfg).Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	var failed *apig.CallError
	if errors.As(err, &failed) {
		fmt.Println(failed.Op, failed.Attempts, apig.OutcomeOf(err))
	}
	// Output: Publish 4 not applied
}

// The context bounds a call. What would wait beyond its end does not wait at all.
func ExampleCallError_deadline() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	cfg.Retry.MaxWait = 2 * time.Hour
	gateway.Inject(apigtest.Throttle("3600")) // come again in an hour

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_, err := newClient(cfg).Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	fmt.Println(errors.Is(err, context.DeadlineExceeded), errors.Is(err, apig.ErrThrottled), apig.OutcomeOf(err))
	// Output: true true not applied
}

// Thousands of APIs take a few requests. What fails does so API by API.
func ExampleClient_PublishBatch() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	result, err := client.PublishBatch(context.Background(), apig.BatchRequest{
		APIIDs: []string{apiID, "00000000000000000000000000000000"},
		EnvID:  apig.EnvRelease,
	})
	if result == nil {
		log.Fatal(err) // nothing was sent
	}
	for _, item := range result.Items {
		fmt.Println(apig.OutcomeOf(item.Err), errors.Is(item.Err, apig.ErrNotFound))
	}
	// Output:
	// applied false
	// not applied true
}

// All the APIs of a group.
func ExampleClient_PublishBatch_group() {
	gateway, cfg, _ := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	shop := gateway.AddGroup("shop")
	gateway.AddAPIIn(shop, "basket")
	gateway.AddAPIIn(shop, "checkout")

	result, err := client.PublishBatch(context.Background(), apig.BatchRequest{GroupID: shop, EnvID: apig.EnvRelease, Remark: "1.4.2"})
	if err != nil {
		log.Fatal(err)
	}
	for _, item := range result.Items {
		fmt.Println(item.APIName, item.Record.Remark)
	}
	// Output:
	// basket 1.4.2
	// checkout 1.4.2
}

func ExampleClient_OfflineBatch() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	publish(client, apiID)

	result, err := client.OfflineBatch(context.Background(), apig.BatchRequest{APIIDs: []string{apiID}, EnvID: apig.EnvRelease})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("offline:", len(result.Items))
	// Output:
	// published orders
	// offline: 1
}

// The error of a batch says which APIs are in doubt.
func ExampleBatchError() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	_, err := client.OfflineBatch(context.Background(), apig.BatchRequest{APIIDs: []string{apiID}, EnvID: apig.EnvRelease})
	var failed *apig.BatchError
	if errors.As(err, &failed) {
		for _, item := range failed.Items {
			fmt.Println(item.APIID == apiID, errors.Is(item.Err, apig.ErrNotPublished))
		}
	}
	fmt.Println(apig.OutcomeOf(err)) // of all: the worst
	// Output:
	// true true
	// not applied
}

// Without the permission to read the history a lost answer cannot be settled. Later,
// with it, it can.
func ExampleClient_Settle() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	unreadable(gateway)

	ctx := context.Background()
	_, err := client.Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: "1.4.2"})
	fmt.Println(apig.OutcomeOf(err))

	gateway.ClearFaults() // somebody has granted it
	rec, err := client.Settle(ctx, err)
	fmt.Println(apig.OutcomeOf(err), rec.Remark, rec.Recovered)
	// Output:
	// unknown
	// applied 1.4.2 true
}

// Of a batch it settles every item of unknown outcome.
func ExampleClient_Settle_batch() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	gateway.Inject(
		apigtest.ApplyThenClose().On(apigtest.OpBatch),
		apigtest.Forbidden().On(apigtest.OpHistory).Always(),
	)

	ctx := context.Background()
	_, err := client.PublishBatch(ctx, apig.BatchRequest{APIIDs: []string{apiID, gateway.AddAPI("users")}, EnvID: apig.EnvRelease})
	fmt.Println(apig.OutcomeOf(err))

	gateway.ClearFaults()
	_, err = client.Settle(ctx, err)
	fmt.Println(apig.OutcomeOf(err))
	// Output:
	// unknown
	// applied
}

// An unknown outcome can be handed to another process, as JSON.
func ExampleUnknownError() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	unreadable(gateway)

	_, err := newClient(cfg).Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: "1.4.2"})
	var unknown *apig.UnknownError
	if !errors.As(err, &unknown) {
		log.Fatal(err)
	}
	note, err := json.Marshal(unknown)
	if err != nil {
		log.Fatal(err)
	}

	gateway.ClearFaults()
	var again apig.UnknownError
	if err := json.Unmarshal(note, &again); err != nil {
		log.Fatal(err)
	}
	_, err = newClient(cfg).Settle(context.Background(), &again)
	fmt.Println(apig.OutcomeOf(err))
	// Output: applied
}

// Back to what was in effect before.
func ExampleClient_Rollback() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	ctx := context.Background()
	for _, remark := range []string{"1.4.1", "1.4.2"} {
		if _, err := client.Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: remark}); err != nil {
			log.Fatal(err)
		}
	}

	rec, err := client.Rollback(ctx, apiID, apig.EnvRelease)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in effect:", rec.Remark)
	// Output: in effect: 1.4.1
}

// A version of choice: find it, and switch to it.
func ExampleClient_SwitchVersion() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	ctx := context.Background()
	for _, remark := range []string{"1.4.1", "1.4.2"} {
		if _, err := client.Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: remark}); err != nil {
			log.Fatal(err)
		}
	}

	for version, err := range client.Versions(ctx, apig.VersionQuery{APIID: apiID, EnvID: apig.EnvRelease}) {
		if err != nil {
			log.Fatal(err)
		}
		if version.Remark == "1.4.1" {
			rec, err := client.SwitchVersion(ctx, apiID, version.ID)
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println("in effect:", rec.Remark)
		}
	}
	// Output: in effect: 1.4.1
}

// Newest first. An error is the last that is yielded.
func ExampleClient_Versions() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	for _, remark := range []string{"1.4.1", "1.4.2"} {
		if _, err := gateway.Publish(apiID, apig.EnvRelease, remark); err != nil {
			log.Fatal(err)
		}
	}

	for version, err := range client.Versions(context.Background(), apig.VersionQuery{APIID: apiID}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(version.EnvName, version.Remark, version.Status)
	}
	// Output:
	// RELEASE 1.4.2 in effect
	// RELEASE 1.4.1 not in effect
}

func ExampleClient_Published() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	_, err := client.Published(context.Background(), apiID, apig.EnvRelease)
	fmt.Println(errors.Is(err, apig.ErrNotPublished))
	publish(client, apiID)
	version, err := client.Published(context.Background(), apiID, apig.EnvRelease)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(version.Status)
	// Output:
	// true
	// published orders
	// in effect
}

// What a version was when it was published, and what is served now.
func ExampleClient_VersionDefinition() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	ctx := context.Background()
	rec, err := client.Publish(ctx, apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	if err != nil {
		log.Fatal(err)
	}

	definition, err := client.VersionDefinition(ctx, rec.VersionID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(definition.Name, definition.Method, definition.Path)
	// Output: orders GET /orders
}

func ExampleClient_RuntimeDefinition() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	_, err := client.RuntimeDefinition(context.Background(), apiID, apig.EnvRelease)
	fmt.Println(errors.Is(err, apig.ErrNotPublished))
	publish(client, apiID)
	definition, err := client.RuntimeDefinition(context.Background(), apiID, apig.EnvRelease)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(definition.Name)
	// Output:
	// true
	// published orders
	// orders
}

// The pages of the service are read as the loop needs them.
func ExampleClient_APIs() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	gateway.AddAPI("users")
	publish(client, apiID)

	for api, err := range client.APIs(context.Background(), apig.APIQuery{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(api.Name, len(api.Publications))
	}
	// Output:
	// published orders
	// orders 1
	// users 0
}

func ExampleClient_APIByName() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	api, err := client.APIByName(context.Background(), "orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(api.ID == apiID)
	_, err = client.APIByName(context.Background(), "users")
	fmt.Println(err)
	// Output:
	// true
	// apig: APIByName: none is named "users"
}

func ExampleClient_Environments() {
	gateway, cfg, _ := newGateway()
	defer gateway.Close()
	gateway.AddEnvironment("staging")

	for env, err := range newClient(cfg).Environments(context.Background(), apig.EnvironmentQuery{}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(env.Name)
	}
	// Unordered output:
	// RELEASE
	// staging
}

func ExampleClient_EnvironmentByName() {
	gateway, cfg, _ := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	env, err := client.EnvironmentByName(context.Background(), "RELEASE")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(env.ID == apig.EnvRelease)
	// Output: true
}

// A call that changes something ends within MaxAttempts × (AttemptTimeout +
// 2 × SettleWait + SettleTimeout + MaxWait), or with its context.
func ExampleRetryPolicy() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	cfg.AttemptTimeout = 10 * time.Second
	cfg.Retry = apig.RetryPolicy{
		MaxAttempts:   3,
		MinWait:       time.Millisecond,
		MaxWait:       5 * time.Second,
		SettleTimeout: 10 * time.Second,
		TagRemark:     true, // other processes publish the same API, and nobody watches
	}
	gateway.Inject(apigtest.Throttle("").Times(2))
	publish(newClient(cfg), apiID)
	fmt.Println(len(gateway.Requests()), "requests")
	// Output:
	// published orders
	// 3 requests
}

// steady lets one attempt through each time its ticker ticks, as a *rate.Limiter
// of golang.org/x/time/rate does.
type steady struct{ ticks <-chan time.Time }

func (s steady) Wait(ctx context.Context) error {
	select {
	case <-s.ticks:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func ExampleLimiter() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	cfg.Limiter = steady{ticker.C} // rate.NewLimiter(20, 1)
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// A Debug record for each attempt, a Warn record for each repetition and for each
// outcome that had to be looked for.
func ExampleConfig_logger() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	cfg.Logger = slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelWarn,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr { // what differs from run to run
			if a.Key == slog.TimeKey || a.Key == "api_id" || a.Key == "reason" || a.Key == "wait" {
				return slog.Attr{}
			}
			return a
		},
	}))
	gateway.Inject(apigtest.Throttle(""))
	publish(newClient(cfg), apiID)
	// Output:
	// level=WARN msg="apig: retry" op=Publish attempt=1
	// published orders
}

// Another gateway of the project, over the same connections.
func ExampleClient_Instance() {
	gateway, cfg, _ := newGateway()
	defer gateway.Close()
	other := gateway.AddInstance(gateway.ProjectID(), "e6a5871bfb5b47d19c5874790f639ef8")

	client, err := newClient(cfg).Instance("e6a5871bfb5b47d19c5874790f639ef8")
	if err != nil {
		log.Fatal(err)
	}
	publish(client, other.AddAPI("stock"))
	// Output: published stock
}

// A private cloud has a certificate authority (CA) of its own.
func ExampleConfig_privateCA() {
	gateway, cfg, apiID := newGateway(apigtest.WithTLS())
	defer gateway.Close()

	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: gateway.CertPool()} // x509.NewCertPool and AppendCertsFromPEM
	cfg.HTTPClient = &http.Client{Transport: transport}
	client := newClient(cfg)
	defer client.CloseIdleConnections()
	publish(client, apiID)
	// Output: published orders
}

// Without an HTTPClient the proxy variables of the environment (HTTPS_PROXY,
// NO_PROXY) are honoured. This names a proxy instead.
func ExampleConfig_proxy() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		fmt.Println("through the proxy:", r.In.Method)
	}})
	defer proxy.Close()

	address, err := url.Parse(proxy.URL) // http://proxy.example.com:3128
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyURL(address)
	cfg.HTTPClient = &http.Client{Transport: transport}
	client := newClient(cfg)
	defer client.CloseIdleConnections()
	publish(client, apiID)
	// Output:
	// through the proxy: POST
	// published orders
}

// One client per tenant, each with a token of its own, over connections that all of
// them share. A client never changes, so no tenant can get the token of another.
func ExampleConfig_tenants() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	cfg.HTTPClient = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	defer cfg.HTTPClient.CloseIdleConnections()
	for _, tenant := range []string{"blue", "green"} {
		gateway.AddToken("token-of-"+tenant, time.Time{})
		cfg.Auth = apig.StaticToken("token-of-" + tenant)
		publish(newClient(cfg), apiID)
	}
	fmt.Println("connections:", gateway.Accepted())
	// Output:
	// published orders
	// published orders
	// connections: 1
}

// A test of one's own code: a gateway on loopback, and what happened on it.
func Example_testing() {
	gateway := apigtest.NewGateway() // in a test: t.Cleanup(gateway.Close)
	defer gateway.Close()
	apiID := gateway.AddAPI("orders")
	client, err := apig.New(apig.Config{
		Endpoint:   gateway.URL(),
		ProjectID:  gateway.ProjectID(),
		InstanceID: gateway.InstanceID(),
		Auth:       apig.StaticToken(gateway.Token()),
	})
	if err != nil {
		log.Fatal(err)
	}

	publish(client, apiID) // the code that is tested
	version, ok := gateway.Published(apiID, apig.EnvRelease)
	fmt.Println(ok, version.InEffect, len(gateway.Journal()))
	// Output:
	// published orders
	// true true 1
}

// The same without a network. In a bubble of testing/synctest every wait, such as
// that of a Retry-After, then takes no time.
func Example_testingWithoutNetwork() {
	gateway, cfg, apiID := newGateway(apigtest.WithoutNetwork())
	defer gateway.Close()

	transport := gateway.Transport()
	defer transport.CloseIdleConnections()
	cfg.HTTPClient = &http.Client{Transport: transport}
	gateway.Inject(apigtest.ApplyThenClose()) // the answer is lost
	publish(newClient(cfg), apiID)
	fmt.Println("versions:", len(gateway.History(apiID, apig.EnvRelease)))
	// Output:
	// published orders
	// versions: 1
}
