// Publish publishes one API, and knows what became of it:
// go run ./examples/publish [API ID]
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/examples/internal/demo"
)

func main() {
	site, err := demo.Open(1) // in a program of yours: cfg, err := apig.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	client, err := apig.New(site.Config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	rec, err := client.Publish(ctx, apig.ActionRequest{APIID: site.APIIDs[0], EnvID: apig.EnvRelease, Remark: "1.4.2"})
	cancel()
	if apig.OutcomeOf(err) == apig.Unknown { // look again, with time of its own
		ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
		rec, err = client.Settle(ctx, err)
		cancel()
	}
	switch apig.OutcomeOf(err) {
	case apig.Applied:
		fmt.Println("published as version", rec.VersionID)
	case apig.NotApplied:
		log.Fatal("not published: ", err)
	case apig.Unknown:
		log.Fatal("it may be published, look for its remark before you repeat it: ", err)
	}
}
