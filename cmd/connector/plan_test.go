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

func TestThePlanHasWhatIsAskedForInAnOrderOfTheSeed(t *testing.T) {
	for _, c := range []struct {
		name string
		p    production
		want map[order]int
	}{
		{"a number for each", production{number: 3}, map[order]int{{"purchases", sample.Valid}: 3, {"feedback", sample.Valid}: 3}},
		{"named ones alone", production{number: 3, events: map[string]int{"feedback": 7}}, map[order]int{{"feedback", sample.Valid}: 7}},
		{"bad ones shared out", production{number: 1, bad: map[string]int{"poison": 3}},
			map[order]int{{"purchases", sample.Valid}: 1, {"feedback", sample.Valid}: 1, {"purchases", sample.Poison}: 2, {"feedback", sample.Poison}: 1}},
		{"bad ones where they can be", production{number: 1, bad: map[string]int{"retryable": 2}},
			map[order]int{{"purchases", sample.Valid}: 1, {"feedback", sample.Valid}: 1, {"purchases", sample.Retryable}: 2}},
		{"nothing", production{}, map[order]int{}},
	} {
		plan, err := c.p.plan(planSources)
		got := map[order]int{}
		for _, o := range plan {
			got[o]++
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.name, got, err, c.want)
		}
	}
	run := func(seed uint64) []order {
		plan, err := production{number: 50, seed: seed}.plan(planSources)
		if err != nil {
			t.Fatal(err)
		}
		return plan
	}
	if !reflect.DeepEqual(run(1), run(1)) || reflect.DeepEqual(run(1), run(2)) {
		t.Error("the order is not the seed's")
	}
}

func TestAPlanThatCannotBeIsWrongUse(t *testing.T) {
	for name, p := range map[string]production{
		"no such pipeline":     {events: map[string]int{"odd": 1}},
		"fewer than none":      {events: map[string]int{"feedback": -1}},
		"fewer than none each": {number: -1},
		"a rate below 0":       {rate: -1},
		"no such kind":         {number: 1, bad: map[string]int{"odd": 1}},
		"valid is no bad kind": {number: 1, bad: map[string]int{"valid": 1}},
		"fewer bad than none":  {number: 1, bad: map[string]int{"poison": -1}},
		"nowhere to be":        {events: map[string]int{"feedback": 1}, bad: map[string]int{"retryable": 1}},
	} {
		var wrong *misuse
		if _, err := p.plan(planSources); !errors.As(err, &wrong) {
			t.Errorf("%s: got %v, want a misuse", name, err)
		}
	}
}
