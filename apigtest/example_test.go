package apigtest_test

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/apig-go/apig/apigtest"
)

func Example() {
	g := apigtest.NewGateway()
	defer g.Close()
	id := g.AddAPI("orders")
	// The request takes effect, but its answer gets lost.
	g.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))

	url := g.URL() + "/v2/" + g.ProjectID() + "/apigw/instances/" + g.InstanceID() + "/apis/action"
	body := `{"action":"online","env_id":"DEFAULT_ENVIRONMENT_RELEASE_ID","api_id":"` + id + `","remark":"1.4.2"}`
	for range 2 { // a client that knows no better than to try again
		r, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			fmt.Println(err)
			return
		}
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Auth-Token", g.Token())
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println("no answer")
			continue
		}
		res.Body.Close()
		fmt.Println(res.Status)
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

func ExampleGateway_InjectFunc() {
	g := apigtest.NewGateway()
	defer g.Close()
	g.InjectFunc(apigtest.Mix(1, 0.1, // one request in ten
		apigtest.Throttle(""),
		apigtest.ApplyThenClose().On(apigtest.OpAction),
		apigtest.Cut(0).On(apigtest.OpHistory),
	))
	// ... run a load ...
	fmt.Println(len(g.Requests()), g.Faults())
	// Output: 0 0
}
