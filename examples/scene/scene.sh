#!/usr/bin/env bash
# Makes the parts of a scene: a picture, a line and a sound at once, then a clip from the picture.
#
#     scene.sh PROJECT SCENE FOLDER PICTURE
#
# Shows the progress of all jobs, and copies their files to FOLDER. `EVERGREEN_ENDPOINT` is the service's host:port.
set -euo pipefail

where=(--project "$1" --scene "$2")
folder=$3 rocket=$4

evergreen speech generate "${where[@]}" --text "Ten seconds to lift-off." --download "$folder" &
line=$!
evergreen sound generate "${where[@]}" --prompt "A rocket engine starts" --seconds 4 --download "$folder" &
sound=$!
picture=$(evergreen image generate "${where[@]}" --prompt "@rocket on its launch pad at dawn" \
  --reference rocket="$rocket" --watch)
# It is printed as projects/PROJECT/SCENE/images/NAME; in its scene it is images/NAME.
asset=images/${picture##*/}
evergreen scene download "${where[@]}" "$asset" "$folder/${picture##*/}"
evergreen video generate "${where[@]}" --image "asset:$asset" --prompt "The rocket climbs" --download "$folder"
wait "$line" && wait "$sound"
evergreen job list --project "$1" >&2
