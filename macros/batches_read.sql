{% macro batches_read() -%}
    {#- The batches that this build reads: those that the lake does not hold for good
        yet. None where it reads all that has been landed. -#}
    {%- if flags.FULL_REFRESH or no_batch_is_settled()
        or (model.config.materialized == 'incremental' and not is_incremental()) -%}
        {{ return(none) }}
    {%- endif -%}
    {{ return(new_batches()) }}
{%- endmacro %}
