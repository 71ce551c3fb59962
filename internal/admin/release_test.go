package admin_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/zap"

	"sluice/internal/admin"
	"sluice/internal/observe"
)

func TestReleaseRequiresAPostThatNamesAPipeline(t *testing.T) {
	const purchases, own, other = "/pipelines/purchases/release", "http://127.0.0.1:8080", "https://elsewhere.example"
	for name, test := range map[string]struct {
		method, path, origin string
		status               int
		released             string
	}{
		"existing pipeline":  {method: http.MethodPost, path: purchases, status: http.StatusOK, released: "purchases"},
		"unknown pipeline":   {method: http.MethodPost, path: "/pipelines/nothing/release", status: http.StatusNotFound},
		"link":               {method: http.MethodGet, path: purchases, status: http.StatusMethodNotAllowed},
		"page of other site": {method: http.MethodPost, path: purchases, origin: other, status: http.StatusForbidden},
		"page of same origin": {
			method: http.MethodPost, path: purchases, origin: own, status: http.StatusOK, released: "purchases",
		},
		"name with a slash": {method: http.MethodPost, path: "/pipelines/a%2Fb/release", status: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			var released string
			noPipelines := func() []*observe.Pipeline { return nil }
			server := admin.NewServer(admin.Config{}, prometheus.NewRegistry(), noPipelines, zap.NewNop())
			server.Handle("POST /pipelines/{name}/release", admin.ReleaseHandler(func(pipeline string) error {
				if pipeline != "purchases" {
					return errors.New("no such pipeline is running")
				}
				released = pipeline
				return nil
			}))
			req := httptest.NewRequestWithContext(t.Context(), test.method, own+test.path, nil)
			if test.origin != "" {
				req.Header.Set("Origin", test.origin)
			}
			response := httptest.NewRecorder()
			server.Handler().ServeHTTP(response, req)
			if response.Code != test.status || released != test.released {
				t.Errorf("got status %d and released %q, want %d and %q; body: %s",
					response.Code, released, test.status, test.released, response.Body)
			}
		})
	}
}
