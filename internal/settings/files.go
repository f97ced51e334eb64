package settings

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/cobropay/cobro/private"
)

const fileSuffix = "_FILE"

// Files lets every secret NAME be in the file that NAME_FILE names, as container
// platforms mount them. One line break at its end does not count. A file that
// cannot be read counts as a secret that is not set; [Check] says why. Wrapping
// twice is the same as once.
func Files(getenv func(string) string) func(string) string {
	secrets := map[string]bool{}
	for _, s := range All() {
		if s.Secret() {
			secrets[s.Name] = true
		}
	}
	return func(name string) string {
		if base, isFile := strings.CutSuffix(name, fileSuffix); isFile && secrets[base] {
			return ""
		}
		value := getenv(name)
		if value != "" || !secrets[name] || getenv(name+fileSuffix) == "" {
			return value
		}
		read, _ := private.ReadFile(getenv(name + fileSuffix))
		return read.Reveal()
	}
}

// CheckFiles reports what is wrong with the files of secrets, for programs that
// do not call [Check].
func CheckFiles(getenv func(string) string) []Problem {
	var problems []Problem
	for _, s := range All() {
		if s.Secret() {
			problems = append(problems, checkFile(s, getenv)...)
		}
	}
	return problems
}

// checkFile reports what is wrong with a secret's file.
func checkFile(s Setting, getenv func(string) string) []Problem {
	name := s.Name + fileSuffix
	file := getenv(name)
	switch {
	case file == "":
		return nil
	case getenv(s.Name) != "":
		return []Problem{{Setting: name, Problem: "is set beside " + s.Name, Do: "remove one of the two"}}
	}
	value, err := private.ReadFile(file)
	if err != nil {
		return []Problem{{Setting: name, Problem: "names a file that cannot be read: " + err.Error(), Do: "fix the path, or let this program's user read it"}}
	}
	if value.IsZero() {
		return []Problem{{Setting: name, Problem: "names an empty file", Do: "put the secret into " + file}}
	}
	info, err := os.Stat(file)
	if err == nil && info.Mode().Perm()&0o007 != 0 && runtime.GOOS != "windows" {
		return []Problem{{
			Setting: name, Warning: true, Do: "run chmod o-rwx " + file,
			Problem: fmt.Sprintf("names a file that everybody on this machine can use (mode %04o)", info.Mode().Perm()),
		}}
	}
	return nil
}
