package sandbox_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"sluice/internal/demo/sandbox"
)

// A vendor that is unavailable for its first call.
func Example() {
	script, err := sandbox.ParseScript([]byte(`
rules:
  - name: down
    operation: propel.token
    times: 1
    do: {fault: status, code: 503, retry_after: 2s}
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	vendors := sandbox.New(sandbox.Options{Script: script})
	server := httptest.NewServer(vendors.Handler(sandbox.Propel))
	defer server.Close()

	form := "grant_type=client_credentials&client_id=" + sandbox.DefaultClientID + "&client_secret=" +
		sandbox.DefaultClientSecret
	for range 2 {
		resp, err := http.Post(
			server.URL+sandbox.PropelTokenPath, "application/x-www-form-urlencoded", strings.NewReader(form),
		)
		if err != nil {
			fmt.Println(err)
			return
		}
		resp.Body.Close()
		fmt.Printf("%d %q\n", resp.StatusCode, resp.Header.Get("Retry-After"))
	}
	fmt.Println(vendors.Faults(), vendors.Ledger().Calls("propel.token").Calls)
	// Output:
	// 503 "2"
	// 200 ""
	// map[down:1] 2
}
