package apig_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
)

// newGateway starts a gateway to run the examples against, with one API.
func newGateway() (g *apigtest.Gateway, cfg apig.Config, apiID string) {
	g = apigtest.NewGateway()
	return g, apig.Config{
		Endpoint:   g.URL(),
		ProjectID:  g.ProjectID(),
		InstanceID: g.InstanceID(),
		Auth:       apig.StaticToken(g.Token()),
		Retry:      apig.RetryPolicy{SettleWait: 20 * time.Millisecond},
	}, g.AddAPI("orders")
}

func ExampleClient_Publish() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}

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

// The answer to a publication that was applied is lost. The record comes from
// the gateway's history, and nothing was published twice.
func ExampleClient_Publish_lostAnswer() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}

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

// Without the permission to read the history a lost answer cannot be settled.
func ExampleClient_Publish_outcomeUnknown() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}

	gateway.Inject(
		apigtest.ApplyThenClose(),
		apigtest.Answer(403, `{"error_code":"APIG.1005","error_msg":"No permissions"}`).On(apigtest.OpHistory).Always(),
	)
	_, err = client.Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	fmt.Println("unknown:  ", errors.Is(err, apig.ErrOutcomeUnknown))
	fmt.Println("forbidden:", errors.Is(err, apig.ErrForbidden)) // that was the history, not the publication
	// Output:
	// unknown:   true
	// forbidden: false
}

func ExampleClient_Offline() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}

	_, err = client.Offline(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	fmt.Println(errors.Is(err, apig.ErrNotPublished))

	var apiErr *apig.APIGError
	if errors.As(err, &apiErr) {
		fmt.Println(apiErr.StatusCode, apiErr.Code)
	}
	// Output:
	// true
	// 404 APIG.3015
}

func ExampleClient_PublishBatch() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}

	result, err := client.PublishBatch(context.Background(), apig.BatchRequest{
		APIIDs: []string{apiID, "00000000000000000000000000000000"},
		EnvID:  apig.EnvRelease,
	})
	var failed *apig.BatchError
	if err != nil && !errors.As(err, &failed) {
		log.Fatal(err)
	}
	for _, item := range result.Items {
		fmt.Println(item.Record != nil, errors.Is(item.Err, apig.ErrNotFound))
	}
	// Output:
	// true false
	// false true
}

// A roll-back is two calls: find the version, and switch to it.
func ExampleClient_SwitchVersion() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
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
		if version.Remark != "1.4.1" {
			continue
		}
		if _, err := client.SwitchVersion(ctx, apiID, version.ID); err != nil {
			log.Fatal(err)
		}
		break
	}
	now, err := client.Published(ctx, apiID, apig.EnvRelease)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("in effect:", now.Remark)
	// Output: in effect: 1.4.1
}

func ExampleClient_APIByName() {
	gateway, cfg, _ := newGateway()
	defer gateway.Close()
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}

	api, err := client.APIByName(context.Background(), "orders")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(api.Name, len(api.Publications))

	_, err = client.APIByName(context.Background(), "users")
	fmt.Println(err)
	// Output:
	// orders 0
	// apig: APIByName: not found: none is named "users"
}

// Tokens are got from IAM when they are needed, and renewed.
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
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	rec, err := client.Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("published", rec.APIName)
	// Output: published orders
}

func ExampleStaticKeys() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddKeys("QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc", "")

	cfg.Auth = apig.StaticKeys("QTWAOYTTINDUT2QVKYUC", "MFyfvK41ba2giqM7Uio6PznpdUKGpownRZlmVmHc")
	client, err := apig.New(cfg)
	if err != nil {
		log.Fatal(err)
	}
	rec, err := client.Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("published", rec.APIName)
	// Output: published orders
}

// A private cloud has a certificate authority (CA) of its own.
func ExampleConfig_privateCA() {
	pem, err := os.ReadFile("ca.pem")
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		log.Fatal("ca.pem has no certificate")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.TLSClientConfig = &tls.Config{RootCAs: pool}

	client, err := apig.New(apig.Config{
		Endpoint:   "https://apig.cloud.example.com",
		ProjectID:  "77b6a44cba5143ab91d13ab9a8ff44fd",
		InstanceID: "3a1c2b4d5e6f47089a0b1c2d3e4f5061",
		Auth:       apig.StaticToken(os.Getenv("HW_AUTH_TOKEN")),
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseIdleConnections()
}

// Without an HTTPClient the proxy variables of the environment (HTTPS_PROXY,
// NO_PROXY) are honoured. This names a proxy instead.
func ExampleConfig_proxy() {
	proxy, err := url.Parse("http://proxy.example.com:3128")
	if err != nil {
		log.Fatal(err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = http.ProxyURL(proxy)

	client, err := apig.New(apig.Config{
		Endpoint:   apig.Endpoint("cn-north-4"),
		ProjectID:  "77b6a44cba5143ab91d13ab9a8ff44fd",
		InstanceID: "3a1c2b4d5e6f47089a0b1c2d3e4f5061",
		Auth:       apig.StaticToken(os.Getenv("HW_AUTH_TOKEN")),
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.CloseIdleConnections()
}

// One client per tenant, each with a token of its own, over connections that
// all of them share. A client never changes, so no tenant can get the token of
// another.
func ExampleConfig_tenants() {
	gateway, cfg, apiID := newGateway()
	defer gateway.Close()
	gateway.AddToken("token-of-blue", time.Time{})
	gateway.AddToken("token-of-green", time.Time{})

	shared := &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	defer shared.CloseIdleConnections()
	for _, tenant := range []string{"blue", "green"} {
		cfg.HTTPClient = shared
		cfg.Auth = apig.StaticToken("token-of-" + tenant)
		client, err := apig.New(cfg)
		if err != nil {
			log.Fatal(err)
		}
		if _, err := client.Publish(context.Background(), apig.ActionRequest{APIID: apiID, EnvID: apig.EnvRelease, Remark: tenant}); err != nil {
			log.Fatal(err)
		}
	}
	for _, r := range gateway.Requests() {
		fmt.Println(r.Header.Get("X-Auth-Token"))
	}
	fmt.Println("connections:", gateway.Accepted())
	// Output:
	// token-of-blue
	// token-of-green
	// connections: 1
}
