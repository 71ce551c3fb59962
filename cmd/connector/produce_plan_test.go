package main

import (
	"errors"
	"reflect"
	"testing"

	"sluice/internal/demo/sample"
)

var planSources = []sample.Source{
	{Pipeline: "purchases", Topic: "purchases", Events: []string{"sluice.crmcom.Purchase"}},
	{Pipeline: "feedback", Topic: "feedback", Events: []string{"sluice.expoints.FeedbackLock"}},
}

func TestPlanHasRequestedSamplesInSeededOrder(t *testing.T) {
	for _, c := range []struct {
		name string
		p    produceOptions
		want map[sampleOrder]int
	}{
		{"a number for each", produceOptions{count: 3}, map[sampleOrder]int{{"purchases", sample.Valid}: 3, {"feedback", sample.Valid}: 3}},
		{"named ones alone", produceOptions{count: 3, events: map[string]int{"feedback": 7}}, map[sampleOrder]int{{"feedback", sample.Valid}: 7}},
		{"bad ones shared out", produceOptions{count: 1, bad: map[string]int{"poison": 3}},
			map[sampleOrder]int{{"purchases", sample.Valid}: 1, {"feedback", sample.Valid}: 1, {"purchases", sample.Poison}: 2, {"feedback", sample.Poison}: 1}},
		{"bad ones where they can be", produceOptions{count: 1, bad: map[string]int{"retryable": 2}},
			map[sampleOrder]int{{"purchases", sample.Valid}: 1, {"feedback", sample.Valid}: 1, {"purchases", sample.Retryable}: 2}},
		{"nothing", produceOptions{}, map[sampleOrder]int{}},
	} {
		plan, err := c.p.planSamples(planSources)
		got := map[sampleOrder]int{}
		for _, o := range plan {
			got[o]++
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	run := func(seed uint64) []sampleOrder {
		plan, err := produceOptions{count: 50, seed: seed}.planSamples(planSources)
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	if !reflect.DeepEqual(run(1), run(1)) || reflect.DeepEqual(run(1), run(2)) {
		t.Error("the order does not depend on the seed alone")
	}
}

func TestImpossiblePlanIsUsageError(t *testing.T) {
	for name, p := range map[string]produceOptions{
		"no such pipeline":          {events: map[string]int{"odd": 1}},
		"negative event count":      {events: map[string]int{"feedback": -1}},
		"negative count":            {count: -1},
		"a rate below 0":            {rate: -1},
		"no such kind":              {count: 1, bad: map[string]int{"odd": 1}},
		"valid is not a bad kind":   {count: 1, bad: map[string]int{"valid": 1}},
		"negative bad count":        {count: 1, bad: map[string]int{"poison": -1}},
		"no event for the bad kind": {events: map[string]int{"feedback": 1}, bad: map[string]int{"retryable": 1}},
	} {
		var wrong *usageError
		if _, err := p.planSamples(planSources); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v, want a usage error", name, err)
		}
	}
}
