package admin

import "net/http"

// ReleaseHandler is the command that has the pipeline named by {name} in the pattern go on: 200 "ok", or 404 with the error where there is none. Requests of
// other sites' pages are refused (403), for a browser sends a POST to a loopback address too.
func ReleaseHandler(release func(pipeline string) error) http.Handler {
	return http.NewCrossOriginProtection().Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := release(r.PathValue("name")); err != nil {
			write(w, http.StatusNotFound, "text/plain; charset=utf-8", err.Error()+"\n")
			return
		}
		say(w, true, nil)
	}))
}
