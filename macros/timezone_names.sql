{% macro timezone_names() -%}
    {#- As literals, for engines on Java, which cannot be asked. Java 17 does not know the
        youngest one, and a zone that it does not know is an error. -#}
    '{{ modules.pytz.all_timezones | reject('equalto', 'America/Coyhaique')
        | join("', '") }}'
{%- endmacro %}
