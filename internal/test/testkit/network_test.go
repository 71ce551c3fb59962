package testkit_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"sluice/internal/test/testkit"
)

// On a real clock this test would take a minute. It would hang if a goroutine waited in a way that
// is not durably blocking.
func TestHTTPRunsOnTheFakeClockOfABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n testkit.Network
		echo := func(w http.ResponseWriter, r *http.Request) {
			<-time.After(time.Minute)
			_, _ = io.Copy(w, r.Body)
		}
		url := testkit.ServeHTTP(t, &n, "vendor.example:80", http.HandlerFunc(echo))
		client := &http.Client{Transport: n.NewTransport()}
		start := time.Now()
		resp, err := client.Post(url, "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil || string(body) != "hello" {
			t.Errorf("got body %q, error %v, want %q, nil", body, err, "hello")
		}
		if took := time.Since(start); took != time.Minute {
			t.Errorf("request took %v, want 1m0s", took)
		}
	})
}

func TestClientTimeoutIsExactInABubble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n testkit.Network
		waitForever := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
		url := testkit.ServeHTTP(t, &n, "vendor.example:80", http.HandlerFunc(waitForever))
		client := &http.Client{Transport: n.NewTransport(), Timeout: 7 * time.Second}
		start := time.Now()
		resp, err := client.Get(url)
		if err == nil {
			_ = resp.Body.Close()
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("got error %v, want a timeout", err)
		}
		if took := time.Since(start); took != 7*time.Second {
			t.Errorf("request took %v, want 7s", took)
		}
	})
}

func TestDialIsRefusedWithoutAListener(t *testing.T) {
	var n testkit.Network
	_, err := n.DialContext(t.Context(), "tcp", "vendor.example:80")
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got error %v, want connection refused", err)
	}
	l, err := n.Listen("tcp", "vendor.example:80")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := n.Listen("tcp", "vendor.example:80"); !errors.Is(err, syscall.EADDRINUSE) {
		t.Errorf("got error %v, want address in use", err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	if _, err := n.DialContext(t.Context(), "tcp", "vendor.example:80"); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("got error %v after Close, want connection refused", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after Close: got error %v, want net.ErrClosed", err)
	}
}

func TestDialStopsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n testkit.Network
		if _, err := n.Listen("tcp", "slow.example:80"); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.DialContext(ctx, "tcp", "slow.example:80"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got error %v, want deadline exceeded", err)
		}
	})
}

func TestPortZeroAssignsADifferentPortEachTime(t *testing.T) {
	var n testkit.Network
	seen := map[string]bool{}
	for range 3 {
		l, err := n.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		seen[l.Addr().String()] = true
	}
	if len(seen) != 3 {
		t.Errorf("got addresses %v, want three different ones", seen)
	}
}
