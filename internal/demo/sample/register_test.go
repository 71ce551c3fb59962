package sample

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
)

func registryClient(t *testing.T, h http.Handler) *sr.Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := sr.NewClient(sr.URLs(s.URL))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestSubjectNamesFollowTopicAndRecord(t *testing.T) {
	var names []string
	for _, s := range Subjects([]Source{
		{Topic: "purchases", Events: []string{"sluice.crmcom.Purchase"}},
		{Topic: "feedback", Events: []string{"sluice.expoints.FeedbackRequest", "sluice.expoints.FeedbackLock"}},
		{Topic: "odd", Events: []string{"not.ours"}},
	}) {
		names = append(names, s.Name)
		if !strings.Contains(s.Schema, s.Event[strings.LastIndexByte(s.Event, '.')+1:]) {
			t.Errorf("subject %s: got schema %s, want that of %s", s.Name, s.Schema, s.Event)
		}
	}
	want := []string{"purchases-value", "feedback-sluice.expoints.FeedbackRequest",
		"feedback-sluice.expoints.FeedbackLock"}
	if !reflect.DeepEqual(names, want) {
		t.Errorf("got %v, want %v", names, want)
	}
}

func TestRegisteringTwiceKeepsIDs(t *testing.T) {
	registry := srfake.NewRegistry()
	client := registryClient(t, registry.Handler())
	subjects := Subjects([]Source{{Topic: "a", Events: []string{"sluice.crmcom.Purchase"}},
		{Topic: "b", Events: []string{"sluice.crmcom.Referral"}}})
	first, err := RegisterSchemas(t.Context(), client, subjects...)
	if err != nil || len(first) != 2 {
		t.Fatalf("got IDs %v and error %v, want 2 IDs", first, err)
	}
	again, err := RegisterSchemas(t.Context(), client, subjects...)
	if err != nil || !reflect.DeepEqual(first, again) {
		t.Errorf("got %v, %v, want %v", again, err, first)
	}
}

func TestIncompatibleSchemaIsReportedWithReason(t *testing.T) {
	for reason, check := range map[string]string{
		"field amount has no default":       `{"is_compatible": false, "messages": ["field amount has no default"]}`,
		"Schema being registered is no fit": `not asked`,
	} {
		mux := http.NewServeMux()
		mux.HandleFunc("POST /subjects/", func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusConflict)
			io.WriteString(w, `{"error_code": 409, "message": "Schema being registered is no fit"}`)
		})
		mux.HandleFunc("POST /compatibility/", func(w http.ResponseWriter, r *http.Request) {
			if !r.URL.Query().Has("verbose") {
				t.Error("got a request without verbose, want one for the reasons")
			}
			io.WriteString(w, check)
		})
		_, err := RegisterSchemas(t.Context(), registryClient(t, mux), StraySubject())
		var refused *SubjectRefusedError
		if !errors.As(err, &refused) || refused.Reason != reason || refused.Subject.Event != Stray {
			t.Errorf("got %v, want a refusal for %q", err, reason)
		}
	}
}

func TestRegistryFailureIsNoRefusal(t *testing.T) {
	client := registryClient(t,
		http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "down", http.StatusInternalServerError)
		}))
	_, err := RegisterSchemas(t.Context(), client, StraySubject())
	var refused *SubjectRefusedError
	if err == nil || errors.As(err, &refused) {
		t.Errorf("got %v, want an error other than a refusal", err)
	}
}
