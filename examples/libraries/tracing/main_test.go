package main

import (
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/apig-go/apig/apigtest"
	"github.com/apig-go/apig/examples/internal/demo"
)

// The answer of the first request is lost. Below the span of the call there are two
// spans: of that request, and of reading the history.
func TestSpans(t *testing.T) {
	site := demo.BuiltIn(1)
	t.Cleanup(site.Close)
	site.Inject(apigtest.ApplyThenClose().On(apigtest.OpAction))
	seen := tracetest.NewSpanRecorder()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(seen))
	if err := publish(t.Context(), site, provider); err != nil {
		t.Fatal(err)
	}
	spans := seen.Ended()
	call := spans[len(spans)-1]
	if call.Name() != "apig.Publish" || !has(call, "apig.outcome", "applied") {
		t.Errorf("the last span is %s with %v", call.Name(), call.Attributes())
	}
	var methods []string
	for _, s := range spans[:len(spans)-1] {
		if s.Parent().SpanID() != call.SpanContext().SpanID() {
			t.Errorf("%s is not below the call", s.Name())
		}
		methods = append(methods, s.Name())
	}
	if len(methods) != 2 {
		t.Errorf("requests: %v", methods)
	}
}

func has(s sdktrace.ReadOnlySpan, key, value string) bool {
	for _, a := range s.Attributes() {
		if a == attribute.String(key, value) {
			return true
		}
	}
	return false
}
