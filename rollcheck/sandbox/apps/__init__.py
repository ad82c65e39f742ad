"""The programs that stand in for container images.

Here belongs: single files with a `main(argv)`, the standard library only and little of it, so that one starts in a few
milliseconds when the warden forks it and in a few tens as a program (`python -I -S FILE`). They live by their
environment, as containers do: $POD_IP is the address to listen on (there is no network namespace), $ROLLCHECK_PORTS
(`80=10080,8080=40123`) maps ports of the manifest to those really bound, where they differ.
Not here: anything that imports rollcheck, or knows of Kubernetes.
"""
