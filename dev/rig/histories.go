package rig

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/proxy"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/cobropay/cobro/internal/engine"
	"github.com/cobropay/cobro/internal/seal"
)

// Export writes the history of every workflow, decrypted, as one JSON file
// each.
func (s *System) Export(ctx context.Context, folder string) error {
	e, err := s.look(ctx)
	if err != nil {
		return err
	}
	defer e.close()
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	return e.eachWorkflow(ctx, func(id, kind string, _ enumspb.WorkflowExecutionStatus) error {
		h, err := e.history(ctx, id)
		if err != nil {
			return fmt.Errorf("history of %s: %w", id, err)
		}
		data, err := protojson.MarshalOptions{Indent: " "}.Marshal(h)
		if err != nil {
			return err
		}
		name := kind + "." + strings.NewReplacer("/", "-").Replace(id) + ".json"
		return os.WriteFile(filepath.Join(folder, name), data, 0o600)
	})
}

// history reads a workflow's history and decrypts its payloads.
func (e *eye) history(ctx context.Context, id string) (*history.History, error) {
	h := &history.History{}
	for events := e.temporal.GetWorkflowHistory(ctx, id, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT); events.HasNext(); {
		event, err := events.Next()
		if err != nil {
			return nil, err
		}
		h.Events = append(h.Events, event)
	}
	ring, err := seal.Load(e.system.at.KeyFile)
	if err != nil {
		return nil, err
	}
	codec := engine.Codec(ring)
	err = proxy.VisitPayloads(ctx, h, proxy.VisitPayloadsOptions{
		SkipSearchAttributes: true, // they are never encrypted
		Visitor: func(_ *proxy.VisitPayloadsContext, payloads []*common.Payload) ([]*common.Payload, error) {
			return codec.Decode(payloads)
		},
	})
	return h, errors.Join(err)
}
