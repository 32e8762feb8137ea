package apig_test

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
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
	rec, err := client.Publish(context.Background(), apig.PublishRequest{APIID: apiID, EnvID: apig.EnvRelease})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("published", rec.APIName)
}

// All mistakes are reported at once, before anything is sent.
func ExampleNew() {
	_, err := apig.New(apig.Config{
		Endpoint:  "http://apig.cn-north-4.myhuaweicloud.com", // apig.Endpoint("cn-north-4") is right
		ProjectID: "77b6a44cba5143ab91d13ab9a8ff44fd",
	})
	fmt.Println(errors.Is(err, apig.ErrInvalidArgument))
	for mistake := range strings.SplitSeq(err.Error(), "; ") {
		fmt.Println(mistake)
	}
	// Output:
	// true
	// apig: invalid argument: Endpoint "http://apig.cn-north-4.myhuaweicloud.com" must be https (http only to a loopback address)
	// InstanceID is empty
	// Auth is nil
}

func ExampleConfigFromEnv() {
	for name, value := range map[string]string{ // as the environment of a program has them
		"APIG_ENDPOINT":    "", // the region has one
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

// An IAM that acts for an agency. By the agency another account has delegated some of its
// permissions.
func ExampleIAM_agency() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddUser(apigtest.User{Name: "ci", Password: "correct horse", DomainName: "shop"})
	gateway.AddAgency("deploy", "factory")

	cfg.Auth = apig.TokenAuth(&apig.IAM{
		Endpoint: gateway.URL(), Username: "ci", Password: "correct horse", DomainName: "shop",
		AgencyName: "deploy", AgencyDomainName: "factory", ProjectName: "cn-north-4",
	})
	publish(newClient(cfg), apiID)
	// Output: published orders
}

// An access key and its secret key (AK/SK) sign each request. Temporary keys have a security
// token as well. The keys of an ECS server and of other sources are for KeyAuth.
func ExampleStaticKeys() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddKeys("HPUADTEMPORARY", "secret-of-an-hour", "token-of-an-hour")

	cfg.Auth = apig.StaticKeys(apig.Keys{AccessKey: "HPUADTEMPORARY", SecretKey: "secret-of-an-hour", SecurityToken: "token-of-an-hour"})
	publish(newClient(cfg), apiID)
	// Output: published orders
}

func ExampleClient_Publish() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	gateway.Inject(apigtest.ApplyThenClose()) // the answer is lost
	rec, err := client.Publish(context.Background(), apig.PublishRequest{
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
		fmt.Println("published", rec.Remark, "and recovered from the history:", rec.Recovered)
		fmt.Println("versions:", len(gateway.History(apiID, apig.EnvRelease)))
	}
	// Output:
	// published 1.4.2 and recovered from the history: true
	// versions: 1
}

// A job that is run again with the same key publishes nothing again.
func ExampleClient_Publish_idempotencyKey() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	for range 2 { // a job, and its rerun in another process
		rec, err := newClient(cfg).Publish(context.Background(), apig.PublishRequest{
			APIID:          apiID,
			EnvID:          apig.EnvRelease,
			Remark:         "1.4.2",
			IdempotencyKey: "pipeline 4711", // the ID of the run, or a commit
		})
		var superseded *apig.SupersededError
		switch {
		case errors.As(err, &superseded):
			fmt.Println("published before, but no longer in effect:", superseded.Made.ID)
		case err != nil:
			log.Fatal(err)
		default:
			fmt.Println("in effect:", rec.Remark, "replayed:", rec.Replayed)
		}
	}
	// Output:
	// in effect: 1.4.2 replayed: false
	// in effect: 1.4.2 replayed: true
}

func ExampleClient_Offline() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()

	_, err := newClient(cfg).Offline(context.Background(), apig.OfflineRequest{APIID: apiID, EnvID: apig.EnvRelease})
	switch {
	case errors.Is(err, apig.ErrNotPublished):
		fmt.Println("was offline already")
	case err != nil:
		log.Fatal(err)
	}
	// Output: was offline already
}

// unreadable makes the gateway lose answers and refuse to show its history, as it does
// to a user without the right to read it.
func unreadable(gateway *apigtest.Gateway) {
	gateway.Inject(
		apigtest.ApplyThenClose().On(apigtest.OpAction),
		apigtest.ApplyThenClose().On(apigtest.OpBatch),
		apigtest.Forbidden().On(apigtest.OpHistory).Always(),
	)
}

// There are three outcomes, and so three branches. Client.Settle looks for what is unknown.
func ExampleOutcomeOf() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	for i, id := range []string{apiID, "00000000000000000000000000000000", apiID} {
		if i == 2 {
			unreadable(gateway)
		}
		_, err := client.Publish(context.Background(), apig.PublishRequest{APIID: id, EnvID: apig.EnvRelease})
		switch apig.OutcomeOf(err) {
		case apig.Applied:
			fmt.Println("published")
		case apig.NotApplied:
			fmt.Println("nothing has changed:", errors.Is(err, apig.ErrNotFound))
		case apig.Unknown:
			fmt.Println("look before you publish again")
		}
	}
	// Output:
	// published
	// nothing has changed: true
	// look before you publish again
}

// The status, the code and the request ID are what support asks for. Match on
// codes, never on texts.
func ExampleAPIGError() {
	gateway, cfg, _ := newGateway(apigtest.WithSeed(1))
	defer gateway.Close()
	client := newClient(cfg)

	_, err := client.Publish(context.Background(), apig.PublishRequest{APIID: "5f918d104dc84480a75166ba99efff21", EnvID: apig.EnvRelease})
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

// Thousands of APIs take a few requests. What fails does so API by API.
func ExampleClient_PublishBatch() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)

	result, err := client.PublishBatch(context.Background(), apig.PublishBatchRequest{
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

// All APIs of a group. The items of unknown outcome are settled later.
func ExampleClient_SettleBatch() {
	gateway, cfg, _ := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	shop := gateway.AddGroup("shop")
	gateway.AddAPIIn(shop, "basket")
	gateway.AddAPIIn(shop, "checkout")
	unreadable(gateway)

	ctx := context.Background()
	_, err := client.PublishBatch(ctx, apig.PublishBatchRequest{GroupID: shop, EnvID: apig.EnvRelease, Remark: "1.4.2"})
	var failed *apig.BatchError
	if errors.As(err, &failed) {
		fmt.Println(apig.OutcomeOf(err), len(failed.Items))
		gateway.ClearFaults() // the right to read the history is granted
		result, err := client.SettleBatch(ctx, failed)
		fmt.Println(apig.OutcomeOf(err), result.Items[0].APIName, result.Items[1].APIName)
	}
	// Output:
	// unknown 2
	// applied basket checkout
}

// Settle looks for a change of unknown outcome until the deadline. The error may come
// from JSON, as another process has stored it.
func ExampleClient_Settle() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	unreadable(gateway)

	_, err := newClient(cfg).Publish(context.Background(), apig.PublishRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: "1.4.2"})
	var lost *apig.UnknownError
	if !errors.As(err, &lost) {
		log.Fatal(err)
	}
	note, err := json.Marshal(lost)
	if err != nil {
		log.Fatal(err)
	}

	gateway.ClearFaults() // the right to read the history is granted
	stored := new(apig.UnknownError)
	if err := json.Unmarshal(note, stored); err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	rec, err := newClient(cfg).Settle(ctx, stored)
	switch apig.OutcomeOf(err) {
	case apig.Applied:
		fmt.Println("published", rec.Remark)
	case apig.NotApplied:
		fmt.Println("not published")
	case apig.Unknown:
		fmt.Println("still unknown:", err)
	}
	// Output: published 1.4.2
}

// The version before, or a version of choice.
func ExampleClient_Rollback() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	ctx := context.Background()
	for _, remark := range []string{"1.4.1", "1.4.2"} {
		if _, err := client.Publish(ctx, apig.PublishRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: remark}); err != nil {
			log.Fatal(err)
		}
	}

	rec, err := client.Rollback(ctx, apiID, apig.EnvRelease)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in effect:", rec.Remark)
	for version, err := range client.Versions(ctx, apiID, apig.EnvRelease) { // newest first
		if err != nil {
			log.Fatal(err)
		}
		if version.Remark == "1.4.2" {
			if rec, err = client.SwitchVersion(ctx, apiID, version.ID); err != nil {
				log.Fatal(err)
			}
			fmt.Println("in effect:", rec.Remark)
		}
	}
	// Output:
	// in effect: 1.4.1
	// in effect: 1.4.2
}

func ExampleClient_Published() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client := newClient(cfg)
	ctx := context.Background()

	_, err := client.Published(ctx, apiID, apig.EnvRelease)
	fmt.Println(errors.Is(err, apig.ErrNotPublished))
	publish(client, apiID)
	version, err := client.Published(ctx, apiID, apig.EnvRelease)
	if err != nil {
		log.Fatal(err)
	}
	definition, err := client.VersionDefinition(ctx, version.ID)
	if err != nil {
		log.Fatal(err)
	}
	var route struct {
		Method string `json:"req_method"`
		Path   string `json:"req_uri"`
	}
	if err := json.Unmarshal(definition.Raw, &route); err != nil {
		log.Fatal(err)
	}
	fmt.Println(definition.Name, route.Method, route.Path)
	// Output:
	// true
	// published orders
	// orders GET /orders
}

// The whole list is read before the loop begins.
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
		fmt.Println(api.Name, len(api.Environments))
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
	_, err = client.EnvironmentByName(context.Background(), "STAGING")
	fmt.Println(err)
	// Output:
	// true
	// apig: EnvironmentByName: none is named "STAGING"
}

// Another gateway of the project, over the same connections.
func ExampleClient_Instance() {
	gateway, cfg, _ := newGateway()
	defer gateway.Close()
	other := gateway.AddInstance("e6a5871bfb5b47d19c5874790f639ef8")

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
	// transport.Proxy = http.ProxyURL(address) names a proxy; by default the environment does
	cfg.HTTPClient = &http.Client{Transport: transport}
	client := newClient(cfg)
	defer client.CloseIdleConnections()
	publish(client, apiID)
	// Output: published orders
}
