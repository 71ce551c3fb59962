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

func TestAReleaseIsAPostThatNamesAPipeline(t *testing.T) {
	for name, test := range map[string]struct {
		method, path, origin string
		status               int
		released             string
	}{
		"of a pipeline":         {method: http.MethodPost, path: "/pipelines/purchases/release", status: http.StatusOK, released: "purchases"},
		"of none":               {method: http.MethodPost, path: "/pipelines/nothing/release", status: http.StatusNotFound},
		"by a link":             {method: http.MethodGet, path: "/pipelines/purchases/release", status: http.StatusMethodNotAllowed},
		"by another site":       {method: http.MethodPost, path: "/pipelines/purchases/release", origin: "https://elsewhere.example", status: http.StatusForbidden},
		"of the page's own":     {method: http.MethodPost, path: "/pipelines/purchases/release", origin: "http://127.0.0.1:8080", status: http.StatusOK, released: "purchases"},
		"of a name in the path": {method: http.MethodPost, path: "/pipelines/a%2Fb/release", status: http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			var released string
			s := admin.NewServer(admin.Config{}, prometheus.NewRegistry(), func() []*observe.Pipeline { return nil }, zap.NewNop())
			s.Handle("POST /pipelines/{name}/release", admin.ReleaseHandler(func(pipeline string) error {
				if pipeline != "purchases" {
					return errors.New("no such pipeline runs")
				}
				released = pipeline
				return nil
			}))
			req := httptest.NewRequestWithContext(t.Context(), test.method, "http://127.0.0.1:8080"+test.path, nil)
			if test.origin != "" {
				req.Header.Set("Origin", test.origin)
			}
			answer := httptest.NewRecorder()
			s.Handler().ServeHTTP(answer, req)
			if answer.Code != test.status || released != test.released {
				t.Errorf("status %d, released %q: want %d and %q\n%s", answer.Code, released, test.status, test.released, answer.Body)
			}
		})
	}
}
