// Publish publishes one API, and looks again if the outcome is unknown.
//
//	go run ./examples/publish [API ID]
package main

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/examples/internal/demo"
)

func main() {
	site, err := demo.Open(1) // in your own program: cfg, err := apig.ConfigFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	client, err := apig.New(site.Config)
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	rec, err := client.Publish(ctx, apig.PublishRequest{APIID: site.APIIDs[0], EnvID: apig.EnvRelease, Remark: "1.4.2"})
	cancel()
	var lost *apig.UnknownError
	if errors.As(err, &lost) { // look again, with a deadline of its own
		ctx, cancel = context.WithTimeout(context.Background(), time.Minute)
		rec, err = client.Settle(ctx, lost)
		cancel()
	}
	switch apig.OutcomeOf(err) {
	case apig.Applied:
		fmt.Println("published as version", rec.VersionID)
	case apig.NotApplied:
		log.Fatal("not published: ", err)
	case apig.Unknown:
		log.Fatal("it may be published; look at the gateway before you publish again: ", err)
	}
}
