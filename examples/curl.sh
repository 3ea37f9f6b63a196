#!/usr/bin/env bash
# Generates a clip with shell commands only: submits, polls until the job is final, lists the project's jobs.
# Needs `grpcurl` or `buf`, which learn the calls from the server by reflection, and a server: evergreen serve --sandbox
# By hand: grpcurl -plaintext -d '{"page_size": 5}' 127.0.0.1:50051 evergreen.v1.VideoService/ListVideos
set -euo pipefail

endpoint=${EVERGREEN_ENDPOINT:-127.0.0.1:50051}
project=${1:-shell}

if command -v grpcurl >/dev/null; then
  call() { # METHOD JSON
    grpcurl -plaintext -d "$2" "$endpoint" "evergreen.v1.VideoService/$1"
  }
elif command -v buf >/dev/null; then
  call() {
    buf curl --protocol grpc --http2-prior-knowledge --data "$2" "http://$endpoint/evergreen.v1.VideoService/$1"
  }
else
  echo "install grpcurl (github.com/fullstorydev/grpcurl), or buf (npm install @bufbuild/buf; node_modules/.bin has it)" >&2
  exit 2
fi

if ! (exec 3<>"/dev/tcp/${endpoint%:*}/${endpoint##*:}") 2>/dev/null; then
  echo "no server is at $endpoint: evergreen serve --sandbox starts one" >&2
  exit 1
fi

field() { # NAME: the first member of that name, a string
  grep -o "\"$1\": *\"[^\"]*\"" | head -n 1 | cut -d '"' -f 4
}

# The same request_id always means the same job: after a lost answer, send the same request again.
request_id=$(date +%s)-$$
job_id=$(call GenerateVideo '{
  "project_id": "'"$project"'", "scene_id": "scene-1", "request_id": "'"$request_id"'",
  "model": "gen4.5", "ratio": "1280:720", "duration_seconds": 5, "prompt_text": "A rocket climbs through thin clouds"
}' | field jobId)
echo "job $job_id" >&2

state=
for _ in $(seq 600); do
  job=$(call GetStatus '{"job_id": "'"$job_id"'"}')
  state=$(field state <<<"$job")
  case $state in
    JOB_STATE_SUCCEEDED | JOB_STATE_FAILED | JOB_STATE_CANCELLED | JOB_STATE_EXPIRED) break ;;
    JOB_STATE_NEEDS_ATTENTION)
      echo "it is not known whether a paid task exists: evergreen job resolve $job_id" >&2
      exit 4
      ;;
  esac
  sleep 1
done
echo "$state" >&2

call ListVideos '{"project_id": "'"$project"'", "states": ["JOB_STATE_SUCCEEDED"]}'
[ "$state" = JOB_STATE_SUCCEEDED ] && field asset <<<"$job" >&2
