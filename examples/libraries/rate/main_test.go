package main

import (
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/examples/internal/demo"
)

// Eleven APIs at ten a second take one second, to the millisecond.
func TestPublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		site := demo.BuiltIn(11, apigtest.WithoutNetwork())
		t.Cleanup(site.Close)
		transport := site.Gateway.Transport()
		t.Cleanup(transport.CloseIdleConnections)
		site.Config.HTTPClient = &http.Client{Transport: transport}

		took, err := publish(t.Context(), site, rate.NewLimiter(10, 1))
		if err != nil {
			t.Fatal(err)
		}
		if took.Round(time.Millisecond) != time.Second {
			t.Errorf("it took %v", took)
		}
	})
}
