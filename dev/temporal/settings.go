package temporal

import (
	"net/netip"
	"time"

	serverconfig "go.temporal.io/server/common/config"

	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/dynamicconfig"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/primitives"
)

const (
	clusterName = "active"
	// clusterID never changes, so that a copied file is the same cluster.
	clusterID = "0c0b2001-0000-4000-8000-c0b20c0b20c0"
	// sqliteShards is fixed when a database is created. Four keep two cores
	// busy; more cost memory.
	sqliteShards = 4
	// postgresShards is that of a small cluster.
	postgresShards = 16
)

// stores are the databases of a server: one for what happens, one for the list
// of workflows. They may be the same.
type stores struct {
	main, visibility *serverconfig.SQL
	shards           int32
}

func sqliteStores(database *serverconfig.SQL) stores {
	return stores{main: database, visibility: database, shards: sqliteShards}
}

// serverSettings are those that the server reads once. Only the frontend has an
// address that others know; the other services get free ports.
func serverSettings(frontend netip.AddrPort, kept stores) (*serverconfig.Config, map[primitives.ServiceName]static.Hosts, error) {
	internal, err := freePorts(frontend.Addr(), 3)
	if err != nil {
		return nil, nil, err
	}
	services := make(map[string]serverconfig.Service)
	hosts := make(map[primitives.ServiceName]static.Hosts)
	for service, address := range map[primitives.ServiceName]netip.AddrPort{
		primitives.FrontendService: frontend,
		primitives.HistoryService:  internal[0],
		primitives.MatchingService: internal[1],
		primitives.WorkerService:   internal[2],
	} {
		services[string(service)] = serverconfig.Service{RPC: serverconfig.RPC{
			GRPCPort: int(address.Port()),
			BindOnIP: address.Addr().String(),
		}}
		hosts[service] = static.SingleLocalHost(address.String())
	}
	settings := &serverconfig.Config{
		Global: serverconfig.Global{Membership: serverconfig.Membership{
			MaxJoinDuration:  30 * time.Second,
			BroadcastAddress: frontend.Addr().String(),
		}},
		Persistence: serverconfig.Persistence{
			DefaultStore:     "main",
			VisibilityStore:  "visibility",
			NumHistoryShards: kept.shards,
			DataStores:       map[string]serverconfig.DataStore{"main": {SQL: kept.main}, "visibility": {SQL: kept.visibility}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{clusterName: {
				Enabled:                true,
				InitialFailoverVersion: 1,
				RPCAddress:             frontend.String(),
				ClusterID:              clusterID,
			}},
		},
		DCRedirectionPolicy: serverconfig.DCRedirectionPolicy{Policy: "noop"},
		PublicClient:        serverconfig.PublicClient{HostPort: frontend.String()},
		Services:            services,
		Archival: serverconfig.Archival{
			History:    serverconfig.HistoryArchival{State: "disabled"},
			Visibility: serverconfig.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: serverconfig.NamespaceDefaults{Archival: serverconfig.ArchivalNamespaceDefaults{
			History:    serverconfig.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: serverconfig.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
	}
	return settings, hosts, nil
}

// dynamicSettings are those that the server asks for while it runs.
func dynamicSettings() dynamicconfig.StaticClient {
	return dynamicconfig.StaticClient{
		// By default each queue of each shard is read at most 20 times a second,
		// which costs an idle workflow 50 ms a step.
		dynamicconfig.TransferProcessorMaxPollRPS.Key():   2000,
		dynamicconfig.TimerProcessorMaxPollRPS.Key():      2000,
		dynamicconfig.VisibilityProcessorMaxPollRPS.Key(): 2000,

		// One partition needs no forwarding between partitions.
		dynamicconfig.MatchingNumTaskqueueReadPartitions.Key():  1,
		dynamicconfig.MatchingNumTaskqueueWritePartitions.Key(): 1,

		// The default caches ten times as many workflows as a laptop has room for.
		dynamicconfig.HistoryCacheHostLevelMaxSize.Key(): 8096,

		// A search attribute can be used as soon as it has been added.
		dynamicconfig.ForceSearchAttributesCacheRefreshOnRead.Key(): true,

		// Limits that keep the tenants of a shared cluster apart only slow us down.
		// The count is that of polls, and of requests that wait for a payment.
		dynamicconfig.FrontendRPS.Key():                                         20_000,
		dynamicconfig.FrontendMaxNamespaceRPSPerInstance.Key():                  20_000,
		dynamicconfig.FrontendMaxNamespaceVisibilityRPSPerInstance.Key():        1000,
		dynamicconfig.FrontendMaxConcurrentLongRunningRequestsPerInstance.Key(): 20_000,
		dynamicconfig.HistoryRPS.Key():                                          20_000,
		dynamicconfig.MatchingRPS.Key():                                         20_000,
		dynamicconfig.FrontendPersistenceMaxQPS.Key():                           20_000,
		dynamicconfig.HistoryPersistenceMaxQPS.Key():                            20_000,
		dynamicconfig.MatchingPersistenceMaxQPS.Key():                           20_000,
	}
}
