"""What is allowed: questions to OPA (T11), and reviews of Kubernetes accounts (T7)."""

from goldcrest.policy.client import Decision, Policy
from goldcrest.policy.question import Question, Subject, Trigger

__all__ = ["Decision", "Policy", "Question", "Subject", "Trigger"]
