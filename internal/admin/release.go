package admin

import "net/http"

// ReleaseHandler returns the handler of an operator release. {name} in the pattern is the pipeline.
// The handler responds with 200 and "ok", or with 404 and the error of release. It refuses requests
// from pages of other sites with 403, because a browser sends their POST requests to a loopback
// address as well.
func ReleaseHandler(release func(pipeline string) error) http.Handler {
	handle := func(w http.ResponseWriter, r *http.Request) {
		if err := release(r.PathValue("name")); err != nil {
			writeBody(w, http.StatusNotFound, "text/plain; charset=utf-8", err.Error()+"\n")
			return
		}
		writeResult(w, true, nil)
	}
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(handle))
}
