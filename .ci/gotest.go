// Command gotest runs go test and prints how far it is: each package when it has
// ended, with its number, and meanwhile each test that took long. It prints the
// output of what failed, and why tests were skipped.
//
//	go run .ci/gotest.go -race -timeout=20m ./...
//
// Flags that have a value need the form -flag=value. There is no vet: make check
// runs all of it, on tests too.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
)

// long is how many seconds a test takes that is printed when it has ended.
const long = 10

// event is a line of go test -json.
type event struct {
	Action, Package, Test, Output string
	Elapsed                       float64
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	flag := func(arg string) bool { return strings.HasPrefix(arg, "-") }
	listed, err := exec.Command("go", append([]string{"list"}, slices.DeleteFunc(slices.Clone(args), flag)...)...).Output()
	if err != nil {
		return fmt.Errorf("go list: %w", err)
	}
	total := len(strings.Fields(string(listed)))

	test := exec.Command("go", append([]string{"test", "-json", "-vet=off"}, args...)...)
	test.Stderr = os.Stderr
	out, err := test.StdoutPipe()
	if err != nil {
		return err
	}
	if err := test.Start(); err != nil {
		return err
	}
	printed := map[string]string{} // by package and test, until it has ended
	ended := 0
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 1<<24)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			fmt.Println(lines.Text())
			continue
		}
		name, key := path.Base(e.Package), e.Package+" "+e.Test
		switch e.Action {
		case "build-output":
			fmt.Print(e.Output)
		case "output":
			printed[key] += e.Output
		case "pass", "fail", "skip":
			if e.Action == "fail" || e.Action == "skip" && e.Test != "" {
				fmt.Print(printed[key])
			}
			delete(printed, key)
			if e.Test == "" {
				ended++
				fmt.Printf("[%d/%d] %s %s %.1f s\n", ended, total, e.Action, name, e.Elapsed)
			} else if e.Elapsed >= long {
				fmt.Printf("        %s %s %.1f s\n", name, e.Test, e.Elapsed)
			}
		}
	}
	for _, rest := range printed { // of what was killed
		fmt.Print(rest)
	}
	return errors.Join(lines.Err(), test.Wait())
}
