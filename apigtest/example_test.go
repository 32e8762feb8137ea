package apigtest_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/apig-go/apig/apigtest"
)

// A client that repeats blindly publishes twice when an answer is lost.
func Example() {
	g := apigtest.NewGateway()
	defer g.Close()
	id := g.AddAPI("orders")
	// The request takes effect, but its answer gets lost.
	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))

	for range 2 { // a client that knows no better than to try again
		fmt.Println(publish(g, http.DefaultClient, id))
	}
	for _, v := range g.History(id, "DEFAULT_ENVIRONMENT_RELEASE_ID") {
		fmt.Println("version", v.Remark, "in effect:", v.InEffect)
	}
	// Output:
	// no answer
	// 201 Created
	// version 1.4.2 in effect: true
	// version 1.4.2 in effect: false
}

// Faults at random, for a load; the seed makes them the same in each run.
func ExampleGateway_InjectAtRandom() {
	g := apigtest.NewGateway()
	defer g.Close()
	g.InjectAtRandom(1, 0.1, // one request in ten
		apigtest.Throttle(""),
		apigtest.ApplyThenClose().On(apigtest.OpAction),
		apigtest.Cut(0).On(apigtest.OpHistory),
	)
	// ... run a load ...
	fmt.Println(len(g.Requests()))
	// Output: 0
}

// publish sends the request that publishes an API, and says what came back.
func publish(g *apigtest.Gateway, client *http.Client, id string) string {
	url := g.URL() + "/v2/" + g.ProjectID() + "/apigw/instances/" + g.InstanceID() + "/apis/action"
	body := `{"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"` + id + `","remark":"1.4.2"}`
	r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err.Error()
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("X-Auth-Token", g.Token())
	res, err := client.Do(r)
	if err != nil {
		return "no answer"
	}
	defer res.Body.Close()
	return res.Status
}

// The gateway in memory: no port, and nothing that a firewall could stop.
func ExampleWithoutNetwork() {
	g := apigtest.NewGateway(apigtest.WithoutNetwork())
	defer g.Close()
	transport := g.Transport()
	defer transport.CloseIdleConnections()

	fmt.Println(publish(g, &http.Client{Transport: transport}, g.AddAPI("orders")))
	// Output: 201 Created
}

// Every change that was made, with the request that made it.
func ExampleGateway_Journal() {
	g := apigtest.NewGateway()
	defer g.Close()
	id := g.AddAPI("orders")

	publish(g, http.DefaultClient, id)
	if err := g.Offline(id, "DEFAULT_ENVIRONMENT_RELEASE_ID"); err != nil { // somebody else
		fmt.Println(err)
	}
	for _, change := range g.Journal() {
		fmt.Println(change.Action, change.Remark, "by a request:", change.Request != nil)
	}
	// Output:
	// online 1.4.2 by a request: true
	// offline  by a request: false
}

// A fault strikes one request, unless it is told otherwise.
func ExampleFault() {
	g := apigtest.NewGateway()
	defer g.Close()
	id := g.AddAPI("orders")

	g.Inject(apigtest.Throttle("1").On(apigtest.OpAction).Skip(1).Times(2))
	for range 4 {
		fmt.Println(publish(g, http.DefaultClient, id))
	}
	// Output:
	// 201 Created
	// 429 Too Many Requests
	// 429 Too Many Requests
	// 201 Created
}
