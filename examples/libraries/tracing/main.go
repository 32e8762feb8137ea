// Tracing makes OpenTelemetry spans of a publication: one for the call, and one below
// it for each HTTP request, through Config.HTTPClient. For metrics, set a meter
// provider: otelhttp then records the duration of each request.
//
//	go -C examples/libraries run ./tracing [API ID]
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"

	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/apig-go/apig"
	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/examples/internal/demo"
)

func main() {
	flag.Parse()
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run() error {
	site, err := demo.Open(1)
	if err != nil {
		return err
	}
	defer site.Close()
	site.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction)) // to show more than one request
	exporter, err := stdouttrace.New(stdouttrace.WithPrettyPrint())
	if err != nil {
		return err
	}
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter))
	ctx := context.Background()
	return errors.Join(publish(ctx, site, provider), provider.Shutdown(ctx))
}

// publish publishes the first API of the site, within a span that has the outcome.
func publish(ctx context.Context, site *demo.Site, provider *sdktrace.TracerProvider) error {
	cfg := site.Config
	cfg.HTTPClient = &http.Client{Transport: otelhttp.NewTransport(http.DefaultTransport, otelhttp.WithTracerProvider(provider))}
	client, err := apig.New(cfg)
	if err != nil {
		return err
	}
	ctx, span := provider.Tracer("release").Start(ctx, "apig.Publish")
	defer span.End()
	rec, err := client.Publish(ctx, apig.PublishRequest{APIID: site.APIIDs[0], EnvID: apig.EnvRelease, Remark: "1.4.2"})
	span.SetAttributes(attribute.String("apig.outcome", apig.OutcomeOf(err).String()))
	if err != nil {
		span.SetStatus(codes.Error, err.Error())
		return err
	}
	span.SetAttributes(attribute.String("apig.version_id", rec.VersionID), attribute.Bool("apig.recovered", rec.Recovered))
	return nil
}
