"""What is allowed: questions to OPA (T11), and reviews of Kubernetes accounts (T7)."""

from goldcrest.policy.client import Decision, Policy
from goldcrest.policy.question import Question, Subject, Trigger
from goldcrest.policy.readiness import PolicyReadiness

__all__ = ["Decision", "Policy", "PolicyReadiness", "Question", "Subject", "Trigger"]
