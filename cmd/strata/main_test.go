// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/strata-matrix/strata/transport"
	"github.com/strata-matrix/strata/transport/dns/dnstest"
)

// TestMain makes this test binary the command strata, or the witness of kill_test.go, when it is run under that name.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"strata": main, "strata-witness": witness})
}

// TestScripts runs testdata/*.txtar. Besides testscript's commands they know:
//
//	server NAME ARG...     runs "strata serve --json ARG..." until the script ends, and sets NAME (its server name), NAME_PID,
//	                       NAME_SOCKET, NAME_ADDRESS and NAME_CLIENTS once it answers
//	stopserver NAME        ends that server with SIGTERM and expects exit code 0
//	killserver NAME        ends it with SIGKILL
//	capture VAR [FIELD]    sets VAR to the last standard output, or to a member of its JSON; -N counts from the end of a list
//	certify DIR HOST...    makes an authority (ca.crt) and a certificate for the hosts (tls.crt, tls.key)
//	get URL                prints what a server answers over plain HTTP
//	post URL JSON          sends JSON, and prints the answer
//	logged NAME TEXT       waits until the log of the server has the text
//	freeport VAR           sets VAR to a port that is free
//	dns VAR FILE           runs a DNS server with the zone in FILE, see package dnstest, and sets VAR to its address
func TestScripts(t *testing.T) {
	scripts, err := filepath.Glob("testdata/*.txtar")
	if err != nil || len(scripts) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	step := 1
	if testing.Short() { // under the race detector, which makes each of their many processes slow
		step = 3
	}
	var chosen []string
	for i := 0; i < len(scripts); i += step {
		chosen = append(chosen, scripts[i])
	}
	testscript.Run(t, testscript.Params{
		Files: chosen,
		Setup: func(env *testscript.Env) error {
			env.Values["servers"] = map[string]*exec.Cmd{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"server": startServer, "stopserver": stopServer, "killserver": killServer,
			"capture": capture, "certify": certify, "freeport": freePort, "get": get, "post": post, "dns": serveDNS, "logged": logged,
		},
		RequireExplicitExec: true,
	})
}

func startServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 1 {
		ts.Fatalf("usage: server NAME ARG...")
	}
	name, bin := args[0], filepath.SplitList(ts.Getenv("PATH"))[0]
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	defer log.Close() // the server has its own
	cmd := &exec.Cmd{
		Path: filepath.Join(bin, "strata"), Args: append([]string{"strata", "serve", "--json"}, args[1:]...), Dir: ts.MkAbs("."),
		Env: []string{"HOME=" + ts.Getenv("HOME"), "TMPDIR=" + ts.Getenv("TMPDIR")}, Stderr: log,
	}
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	ts.Value("servers").(map[string]*exec.Cmd)[name] = cmd
	ts.Defer(func() {
		_ = cmd.Process.Kill() // it may have ended already
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil {
		ts.Fatalf("server %s ended before it answered:\n%s", name, ts.ReadFile(name+".log"))
	}
	var ready up
	ts.Check(json.Unmarshal(line, &ready))
	ts.Setenv(name, ready.ServerName)
	ts.Setenv(name+"_PID", fmt.Sprint(cmd.Process.Pid))
	ts.Setenv(name+"_SOCKET", ready.Socket)
	ts.Setenv(name+"_ADDRESS", ready.Listen[0])
	if len(ready.Clients) > 0 {
		ts.Setenv(name+"_CLIENTS", ready.Clients[0])
	}
}

func stopServer(ts *testscript.TestScript, _ bool, args []string) {
	cmd := ts.Value("servers").(map[string]*exec.Cmd)[args[0]]
	ts.Check(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		ts.Fatalf("server %s: %v", args[0], err)
	}
}

func killServer(ts *testscript.TestScript, _ bool, args []string) {
	cmd := ts.Value("servers").(map[string]*exec.Cmd)[args[0]]
	ts.Check(cmd.Process.Kill())
	_ = cmd.Wait() // says that it was killed
}

// logged looks again and again for at most 10 seconds: a server of its own process tells in no other way that it has done something.
func logged(ts *testscript.TestScript, _ bool, args []string) {
	deadline := time.Now().Add(10 * time.Second)
	for !strings.Contains(ts.ReadFile(args[0]+".log"), args[1]) {
		if time.Now().After(deadline) {
			ts.Fatalf("the log of %s has no %q:\n%s", args[0], args[1], ts.ReadFile(args[0]+".log"))
		}
		<-time.After(10 * time.Millisecond)
	}
}

func serveDNS(ts *testscript.TestScript, _ bool, args []string) {
	server, err := dnstest.Start(ts.ReadFile(args[1]))
	ts.Check(err)
	ts.Defer(server.Close)
	ts.Setenv(args[0], server.Addr().String())
}

func capture(ts *testscript.TestScript, _ bool, args []string) {
	out := strings.TrimSpace(ts.ReadFile("stdout"))
	if len(args) == 1 {
		ts.Setenv(args[0], out)
		return
	}
	var at any
	ts.Check(json.Unmarshal([]byte(out), &at))
	for step := range strings.SplitSeq(args[1], ".") {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			var i int
			_, err := fmt.Sscan(step, &i)
			ts.Check(err)
			if i < 0 {
				i += len(v)
			}
			at = v[i]
		default:
			ts.Fatalf("%s: nothing below %v", args[1], at)
		}
	}
	ts.Setenv(args[0], fmt.Sprint(at))
}

func certify(ts *testscript.TestScript, _ bool, args []string) {
	dir := ts.MkAbs(args[0])
	ca, err := transport.OpenLocalCA(dir)
	ts.Check(err)
	certificate, err := ca.Certificate(args[1:]...)
	ts.Check(err)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	ts.Check(err)
	for name, block := range map[string]*pem.Block{
		"tls.crt": {Type: "CERTIFICATE", Bytes: certificate.Certificate[0]},
		"tls.key": {Type: "PRIVATE KEY", Bytes: key},
	} {
		ts.Check(os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600))
	}
}

func freePort(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Setenv(args[0], fmt.Sprint(l.Addr().(*net.TCPAddr).Port))
	ts.Check(l.Close())
}

func get(ts *testscript.TestScript, _ bool, args []string) {
	response, err := http.Get(args[0])
	ts.Check(err)
	defer response.Body.Close()
	_, err = io.Copy(ts.Stdout(), response.Body)
	ts.Check(err)
}

func post(ts *testscript.TestScript, _ bool, args []string) {
	response, err := http.Post(args[0], "application/json", strings.NewReader(args[1]))
	ts.Check(err)
	defer response.Body.Close()
	_, err = io.Copy(ts.Stdout(), response.Body)
	ts.Check(err)
}
