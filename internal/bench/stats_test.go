package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
)

func TestQuantile(t *testing.T) {
	values := []float64{40, 10, 30, 20}
	assert.Equal(t, 10.0, quantile(values, 0))
	assert.Equal(t, 17.5, quantile(values, 0.25))
	assert.Equal(t, 25.0, quantile(values, 0.5))
	assert.Equal(t, 40.0, quantile(values, 1))
	assert.Equal(t, []float64{40, 10, 30, 20}, values, "the values are left as they were")

	assert.Equal(t, time.Second, quantile([]time.Duration{time.Second}, 0.99), "one value is every quantile")
	many := make([]time.Duration, 1001)
	for i := range many {
		many[i] = time.Duration(1000 - i)
	}
	assert.Equal(t, time.Duration(990), quantile(many, 0.99))
}

// A round in which the machine was twice as slow does not show in the ratios.
func TestRatiosArePaired(t *testing.T) {
	measured := []time.Duration{30, 60, 30}
	baseline := []time.Duration{20, 40, 10}
	assert.Equal(t, []float64{1.5, 1.5, 3}, ratios(measured, baseline))
	assert.Equal(t, spread{1.5, 1.5, 2.25}, spreadOf(ratios(measured, baseline)))
}
